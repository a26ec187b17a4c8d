from collections import Counter

from dataset_pubchem3d.splits import SPLITS, assign_splits

GROUPS = [f"GROUP{i}" for i in range(1003)]


def test_shares_are_met_to_within_one_group():
    counts = Counter(assign_splits(GROUPS, seed=3).values())
    assert counts == {"train": 802, "validation": 101, "test": 100}
    assert list(SPLITS) == ["train", "validation", "test"]


def test_order_and_repeats_do_not_matter():
    assert assign_splits(GROUPS, seed=3) == assign_splits([*reversed(GROUPS), *GROUPS[:50]], seed=3)


def test_another_seed_gives_another_split():
    first, second = assign_splits(GROUPS, seed=0), assign_splits(GROUPS, seed=1)
    test_first = {group for group, split in first.items() if split == "test"}
    test_second = {group for group, split in second.items() if split == "test"}
    assert len(test_first & test_second) < 30  # 10 expected for independent draws of 100 of 1003


def test_a_known_assignment_does_not_drift():
    order = "CBGEIAJDFH"  # of `printf 0:A | sha256sum` and so on
    assert assign_splits("ABCDEFGHIJ", seed=0) == dict.fromkeys(order[:8], "train") | {"F": "validation", "H": "test"}


def test_no_groups():
    assert assign_splits([], seed=0) == {}
