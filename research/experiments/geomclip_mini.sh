#!/usr/bin/env bash
# Release the model that the study geomclip_mini has frozen, and measure what its card says.
#
#   bash research/experiments/geomclip_mini.sh --model runs/words/geomclip_mini/texts-0123456789ab --holdout first_blocks.txt
#
# The datasets are those of words.sh, in DATA. Finished measurements are skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "${1:-}" = --model ] && [ "${3:-}" = --holdout ] || { sed -n 4p "$0" >&2; exit 2; }
MODEL=$2 HOLDOUT=$4
BIN=${BIN:-.venv/bin}
DATA=${DATA:-runs/words}
RELEASE=${RELEASE:-release/geomclip-mini}
RESULTS=${RESULTS:-research/results/release}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=$(nproc)
mkdir -p "$RESULTS"

measure() { # file, task and flags of `geomclip evaluate`
    [ -f "$RESULTS/$1.json" ] ||
        "$BIN/geomclip" evaluate "$2" --model "$RELEASE" --output "$RESULTS/$1.json" --split test "${@:3}"
}

"$BIN/python" research/experiments/release.py --model "$MODEL" --output "$RELEASE"
measure retrieval retrieval --dataset "$DATA/pairs" --ranks "$RESULTS/retrieval.csv"
measure invariance invariance --dataset "$DATA/pairs"
measure word_queries word_queries --dataset "$DATA/chemicals" --molecules research/holdouts/chemicals_test.txt
# Harder pools: all molecules of the pairs, then those of `chemicals` too.
measure retrieval_pairs retrieval --dataset "$DATA/pairs" --further "$DATA/pairs" --further_split train+validation
measure retrieval_chemicals retrieval --dataset "$DATA/pairs" --further "$DATA/pairs" "$DATA/chemicals" \
    --further_split train+validation

LISTS=(--benchmark holdout="$HOLDOUT")
for split in validation test; do
    LISTS+=(--benchmark pairs_$split="$(echo "$DATA"/pairs/data/default/$split-*.parquet)"
            --benchmark words_$split="research/holdouts/chemicals_$split.txt")
done
for name in pairs definitions descriptions_pairs chemicals descriptions; do
    [ -f "$RESULTS/overlap-$name.json" ] || {
        "$BIN/python" -m dataset_pubchem3d overlap "$DATA/$name" --dataset-config pretrain "${LISTS[@]}" \
            > "$RESULTS/overlap.partial"
        mv "$RESULTS/overlap.partial" "$RESULTS/overlap-$name.json"
    }
done
names=(retrieval invariance word_queries retrieval_pairs retrieval_chemicals)
for name in pairs definitions descriptions_pairs chemicals descriptions; do names+=("overlap-$name"); done
"$BIN/geomclip" card --model "$RELEASE" --notes research/experiments/geomclip_mini.md \
    --results $(printf "$RESULTS/%s.json " "${names[@]}")
