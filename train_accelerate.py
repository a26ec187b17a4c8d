"""Train GeomCLIP with Accelerate.

    accelerate launch train_accelerate.py pretrain --dataset pubchem3d --output_dir geomclip
    accelerate launch train_accelerate.py pretrain --config train/quickstart --seed 1
    accelerate launch train_accelerate.py caption --dataset pubchem3d --output_dir captioner \\
        --model geomclip --decoder HuggingFaceTB/SmolLM2-135M
    accelerate launch train_accelerate.py property --dataset qm9 --output_dir predictor \\
        --model geomclip --targets homo lumo gap

The first word names the task; `--help` after it lists its settings. A YAML file gives settings by name, flags override
it. On N processes `--batch_size` is the size of the joint batch, and the result is that of one process.
`geomclip train` is the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("train", sys.argv[1:], ("accelerate", "launch", "train_accelerate.py"))
