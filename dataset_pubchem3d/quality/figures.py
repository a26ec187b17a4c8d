"""Summarise the findings in a config's splits as figures and faults."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ..publication.folder import PAIR_SPLITS
from .examine import COUNTED, DISTANCE_FAULT, NOT_FINITE_FAULT, SHAPE_FAULT
from .findings import Findings
from .leaks import count_shared

COMPARED = ("first_blocks", "split_groups", "inchikeys", "texts", "scaffolds")
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def summarise_config(findings: dict[str, Findings], config: str) -> dict:
    """Return the figures of a config, given the findings in each split."""
    whole = Findings.merge(findings.values())
    counts = whole.counts
    figures = {
        "rows": counts["rows"]["rows"],
        "splits": {split: found.counts["rows"]["rows"] for split, found in findings.items()},
        **{name: len(whole.count_hashes(name)[0]) for name in ("inchikeys", "first_blocks", "scaffolds")},
        "shared_between_splits": {name: count_shared(findings, name) for name in COMPARED if whole.hashes[name]},
        "multi_fragment_rows": counts["rows"]["multi_fragment"],
        "rows_outside_dictionary": counts["rows"]["outside_dictionary"],
        "rows_sharing_a_geometry": _count_rows_alike(whole, "geometries"),
        **{fault: counts["faults"][fault] for fault in (SHAPE_FAULT, NOT_FINITE_FAULT, DISTANCE_FAULT)},
        **{name: _summarise_distribution(counts[name]) for name in ("atoms", "heavy_atoms", "conformers")},
        "elements": dict(counts["elements"].most_common()),
        **{name: dict(counts[name].most_common()) for name in COUNTED if counts[name]},
        "nulls": dict(sorted(counts["nulls"].items())),
    }
    return figures | (_summarise_texts(whole) if config in PAIR_SPLITS else {})


def _summarise_texts(whole: Findings) -> dict:
    return {
        "distinct_texts": len(whole.count_hashes("texts")[0]),
        "rows_sharing_their_text": _count_rows_alike(whole, "texts"),
        "duplicate_rows": _count_rows_alike(whole, "described"),
        "words": _summarise_distribution(whole.counts["words"]),
    }


def _count_rows_alike(whole: Findings, name: str) -> int:
    """Count the rows whose value occurs in another row too."""
    counts = whole.count_hashes(name)[1]
    return int(counts[counts > 1].sum())


def _summarise_distribution(counter: Counter) -> dict:
    """Return the quantiles of the counted values (each an observed value, without interpolation) and the counts."""
    values = sorted(counter)
    if not values:
        return {"rows_of": {}}
    cumulative = np.cumsum([counter[value] for value in values])
    places = {name: np.searchsorted(cumulative, share * cumulative[-1]) for name, share in QUANTILES.items()}
    return {name: values[place] for name, place in places.items()} | {"rows_of": {v: counter[v] for v in values}}


def list_faults(findings: dict[str, Findings], config: str) -> Iterator[dict]:
    """Yield the faults of single rows and of files that could not be measured."""
    whole = Findings.merge(findings.values())
    for fault, count in whole.counts["faults"].items():
        yield {"config": config, "fault": fault, "count": count, "first": whole.faults[fault]}
