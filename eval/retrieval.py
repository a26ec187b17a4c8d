"""Evaluate retrieval between texts and held-out molecules, in both directions.

    python eval/retrieval.py --model geomclip --dataset pubchem3d --split test --output results/retrieval.json

Prints tables and writes them as JSON, together with everything needed to reproduce them. Same as
`geomclip evaluate retrieval`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_retrieval", sys.argv[1:], ("python", "eval/retrieval.py"))
