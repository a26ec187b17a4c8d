"""How well does a predictor know properties of molecules that it has not seen?

    python eval/property_prediction.py --model predictor --dataset qm9 --split test --output results/property.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate property_prediction` is
the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_property_prediction", sys.argv[1:], ("python", "eval/property_prediction.py"))
