"""Evaluate the invariance of geometry embeddings under symmetries and their sensitivity to a moved atom.

    python eval/invariance.py --model geomclip --dataset pubchem3d --split test --output results/invariance.json

Prints the changes and writes them as JSON, together with everything needed to reproduce them. Same as
`geomclip evaluate invariance`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_invariance", sys.argv[1:], ("python", "eval/invariance.py"))
