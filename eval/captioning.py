"""Evaluate the captions of held-out molecules.

    python eval/captioning.py --model captioner --dataset pubchem3d --split test --geomclip geomclip \\
        --judge geomclip_1 --compare blind=captioner_blind --output results/captioning.json

Prints tables and writes them as JSON, together with everything needed to reproduce them. Same as
`geomclip evaluate captioning`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_captioning", sys.argv[1:], ("python", "eval/captioning.py"))
