"""How well does a checkpoint recover clean coordinates, against handing the noised ones back?

    python eval/denoising.py --model geomclip --dataset pubchem3d --split test --output results/denoising.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate denoising` is the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_denoising", sys.argv[1:], ("python", "eval/denoising.py"))
