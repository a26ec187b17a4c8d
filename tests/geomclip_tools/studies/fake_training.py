"""A script for a stage: it "trains" in steps, can resume, and measures ten pairs of eight molecules.

The first `level` + seed pairs have rank 1. With `--die_at`, the first run kills itself halfway.
"""

import argparse
import csv
import json
import os
import signal
import time
from pathlib import Path

MOLECULES = list("AABBCDEFGH")
SCOPES = [f"{way}_{scope}" for way in ("text_to_geometry", "geometry_to_text") for scope in ("full", "pool")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--output_dir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path)
    parser.add_argument("--die_at", type=int)
    parser.add_argument("--error")
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds")
    for name in ("split", "output", "ranks"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    if args.error:
        print(f"a line before\n{args.error}")
        raise SystemExit(3)
    train(args)
    time.sleep(args.sleep)
    if args.output:
        measure(args)


def train(args: argparse.Namespace) -> None:
    """Write a line for each of three steps, except those already written."""
    args.output_dir.mkdir(parents=True, exist_ok=True)
    steps = args.output_dir / "steps.txt"
    done = len(steps.read_text().splitlines()) if steps.exists() else 0
    for step in range(done, 3):
        with steps.open("a") as file:
            file.write(f"{step} from {args.start and (args.start / 'steps.txt').exists()}\n")
        if step == args.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def measure(args: argparse.Namespace) -> None:
    """Measure; `FAKE_DRIFT` pairs fewer are found, as if on another machine."""
    num_found = args.level + args.seed - int(os.environ.get("FAKE_DRIFT", 0))
    ranks = [1 if place < num_found else 5 for place in range(len(MOLECULES))]
    metrics = {f"{scope}_recall_at_1": num_found / 10 for scope in SCOPES} | {"num_rows": 10}
    metrics |= {f"{scope}_recall_at_1_{end}": num_found / 10 + add for scope in SCOPES for end, add in ENDS.items()}
    record = {"metrics": {"model": metrics}, "num_rows": 10, "git_commit": "c0ffee", "data_sha256": args.split * 8}
    Path(args.output).write_text(json.dumps(record))
    if args.ranks:
        with open(args.ranks, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerows([["molecule", *SCOPES], *([name] + [rank] * 4 for name, rank in zip(MOLECULES, ranks))])


ENDS = {"low": -0.1, "high": 0.1}

if __name__ == "__main__":
    main()
