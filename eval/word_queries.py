"""Evaluate short word queries as a search over the molecules of a dataset.

    python eval/word_queries.py --model geomclip --dataset pubchem3d --split test --output results/word_queries.json

Prints a table and writes it as JSON, together with everything needed to reproduce it. Same as
`geomclip evaluate word_queries`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_word_queries", sys.argv[1:], ("python", "eval/word_queries.py"))
