"""Measure how long the map of a library takes, and how far neighbours on it are neighbours in truth.

    python research/benchmarks/library_map.py --index my_library --output research/results/performance/library_map.json

Trustworthiness (Venna & Kaski, ICANN 2001) of ten neighbours, for the map and for the first two principal components,
over 2,000 random molecules; 1 means that all neighbours on the map are neighbours in truth.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

from geomclip_tools.app.answers import MOST_POINTS
from geomclip_tools.app.projection import measure_preservation, project
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.records import find_commit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="folder of the index")
    parser.add_argument("--output", type=Path, required=True, help="results file to write (JSON)")
    args = parser.parse_args()
    vectors = MoleculeIndex.open(args.index).read_vectors(MOST_POINTS)[1].astype(np.float32)
    start = time.perf_counter()
    positions = project(vectors)
    seconds = time.perf_counter() - start
    measured = {"molecules": len(vectors), "seconds": seconds, **measure_preservation(vectors, positions)}
    record = {"git_commit": find_commit(), "machine": describe_machine(), **measured}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
