"""Do a captioner's captions describe molecules that it has not seen?

    python eval/captioning.py --model captioner --dataset pubchem3d --split test --geomclip geomclip \\
        --judge geomclip_1 --compare blind=captioner_blind --output results/captioning.json

Prints a table and writes it, with all that is needed to repeat it, as JSON; `geomclip evaluate captioning` is the same.
"""

import sys

from geomclip_tools.cli import run_command

if __name__ == "__main__":
    run_command("evaluate_captioning", sys.argv[1:], ("python", "eval/captioning.py"))
