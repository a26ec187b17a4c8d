"""Does a text find its molecule, and a molecule its text, among molecules that the checkpoint has not seen?

    python eval/retrieval.py --model geomclip --dataset pubchem3d --split test --output results/retrieval.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate retrieval` is the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_retrieval", sys.argv[1:], ("python", "eval/retrieval.py"))
