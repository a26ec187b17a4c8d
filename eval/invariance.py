"""What do a checkpoint's geometry embeddings ignore, as they must, and what do they notice?

    python eval/invariance.py --model geomclip --dataset pubchem3d --split test --output results/invariance.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate invariance` is the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_invariance", sys.argv[1:], ("python", "eval/invariance.py"))
