"""Which split a molecule belongs to: a pure function of its group, all groups and the seed."""

import hashlib
from collections.abc import Iterable

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def assign_splits(groups: Iterable[str], seed: int) -> dict[str, str]:
    """Deal distinct groups to the splits in their fixed shares.

    The order of dealing is that of a hash of seed and group, so it depends neither on the order of `groups` nor on
    any library's random numbers. The shares are met to within one group.

    Args:
        groups: keys that must not be torn apart, e.g. InChIKey first blocks; repeats count once.
        seed: another seed gives another split.
    Returns:
        Group to split name.
    """
    dealt = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    assigned, start, share = {}, 0, 0.0
    for split, fraction in SPLITS.items():
        share += fraction
        end = round(share * len(dealt))
        assigned.update(dict.fromkeys(dealt[start:end], split))
        start = end
    return assigned
