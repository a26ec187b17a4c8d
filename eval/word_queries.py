"""Do short words find the molecules that they name, among those of a dataset?

    python eval/word_queries.py --model geomclip --dataset pubchem3d --split test --output results/word_queries.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate word_queries` is the
same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_word_queries", sys.argv[1:], ("python", "eval/word_queries.py"))
