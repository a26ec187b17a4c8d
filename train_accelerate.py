"""Train GeomCLIP with Accelerate.

    accelerate launch train_accelerate.py pretrain --dataset pubchem3d --output_dir geomclip
    accelerate launch train_accelerate.py pretrain --config train/quickstart --seed 1
    accelerate launch train_accelerate.py caption --dataset pubchem3d --output_dir captioner \\
        --model geomclip --decoder HuggingFaceTB/SmolLM2-135M
    accelerate launch train_accelerate.py property --dataset qm9 --output_dir predictor \\
        --model geomclip --targets homo lumo gap

The first argument is the task; `--help` after it lists its settings. `--config` reads settings from a YAML file; flags
override them. `--batch_size` counts the rows of all processes together: N processes give the result of one.
`geomclip train` takes the same arguments.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("train", sys.argv[1:], ("accelerate", "launch", "train_accelerate.py"))
