"""Measure how long users of the page wait when many search at once.

    geomclip app --demo --open_browser False &
    python research/benchmarks/page.py --url http://127.0.0.1:7860/ --output research/results/performance/page.json

Each user asks for 12 molecules, then for the explanations of their drawings, as the page does.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests
from machine import describe_machine

from geomclip_tools.records import find_commit

WORDS = ("an alkaloid", "a steroid", "a fatty acid", "a sulfonamide", "an ester", "a chlorinated phenol", "an amine")
PATIENCE = 600  # seconds


def ask(url: str, name: str, *arguments: Any) -> Any:
    """Ask a question as the page does.

    Raises:
        RuntimeError: the answer is an error, or there is none.
    """
    asked = requests.post(f"{url}api/gradio_api/call/{name}", json={"data": [list(arguments)]}, timeout=PATIENCE)
    asked.raise_for_status()
    told = requests.get(f"{url}api/gradio_api/call/{name}/{asked.json()['event_id']}", timeout=PATIENCE).text
    found = [message.partition("data: ")[2] for message in told.split("\n\n") if message.startswith("event: complete")]
    if not found or "result" not in json.loads(found[0])[0]:
        raise RuntimeError(f"{name} has no answer: {told[:500]}")
    return json.loads(found[0])[0]["result"]


def use(url: str, user: int) -> dict[str, float]:
    """Search as one user, and return the seconds until the results and until the explanations."""
    start, text = time.perf_counter(), f"{WORDS[user % len(WORDS)]} {user}"
    results = ask(url, "search", {"text": text})["results"]
    searched = time.perf_counter() - start
    ask(url, "explain", [hit["inchikey"] for hit in results], text)
    return {"results": searched, "explanations": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7860/", help="address of the page")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 10, 50], help="numbers of users at once")
    parser.add_argument("--output", type=Path, required=True, help="results file to write (JSON)")
    args = parser.parse_args()
    use(args.url, 0)  # the first search is slower
    measured = {}
    for number in args.users:
        with ThreadPoolExecutor(number) as pool:
            waits = [*pool.map(lambda user: use(args.url, user), range(number))]
        measured[number] = {
            name: {
                f"p{share}_seconds": round(float(np.percentile([wait[name] for wait in waits], share)), 2)
                for share in (50, 95)
            }
            for name in waits[0]
        }
    library = ask(args.url, "describe")
    record = {"library": library, "git_commit": find_commit(), "machine": describe_machine(), "users": measured}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
