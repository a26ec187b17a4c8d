"""Evaluate a property predictor on held-out molecules.

    python eval/property_prediction.py --model predictor --dataset qm9 --split test --output results/property.json

Prints a table and writes it as JSON, together with everything needed to reproduce it. Same as
`geomclip evaluate property_prediction`.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_property_prediction", sys.argv[1:], ("python", "eval/property_prediction.py"))
