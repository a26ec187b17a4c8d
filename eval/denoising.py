"""Evaluate how well a checkpoint denoises coordinates of held-out molecules.

    python eval/denoising.py --model geomclip --dataset pubchem3d --split test --output results/denoising.json

Prints the losses and writes them as JSON, together with everything needed to reproduce them. Same as
`geomclip evaluate denoising`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_denoising", sys.argv[1:], ("python", "eval/denoising.py"))
