import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.stages.splits import SPLITS, Cuts, find_scaffold_group, find_split_group, hash_groups, make_cuts

ROWS = st.lists(st.integers(0, 40).map("GROUP{}".format) | st.text(max_size=3), max_size=300)
HASHES = st.lists(st.integers(0, 5) | st.integers(0, 2**64 - 1) | st.just(2**64 - 1), max_size=60)


def splits_of(groups, seed=0):
    hashes = hash_groups(groups, seed)
    return make_cuts(hashes).name_splits(hashes).tolist()


def dealt_one_by_one(groups, seed):
    """The dealing of distinct groups, each one row, written without hashes of 8 bytes, cuts or NumPy."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).hexdigest())
    ends = [round(share * len(order)) for share in (0.8, 0.9, 1.0)]
    names = ["train"] * ends[0] + ["validation"] * (ends[1] - ends[0]) + ["test"] * (ends[2] - ends[1])
    return dict(zip(order, names))


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("size", [*range(30), 1003, 2224])
def test_single_rows_are_dealt_by_the_order_of_their_hashes(seed, size):
    keys = [f"{number:014x}" for number in np.random.default_rng(size).permutation(10 * size)[:size]]
    assert dict(zip(keys, splits_of(keys, seed))) == dealt_one_by_one(keys, seed)


def test_a_known_assignment_does_not_drift():
    order = "CBGEIAJDFH"  # of `printf 0:A | sha256sum` and so on
    expected = dict.fromkeys(order[:8], "train") | {"F": "validation", "H": "test"}
    assert dict(zip("ABCDEFGHIJ", splits_of("ABCDEFGHIJ"))) == expected


def test_a_group_hash_is_the_start_of_sha256():
    hashes = hash_groups(iter(["A"]), seed=0)
    assert hashes.dtype == np.uint64
    assert f"{int(hashes[0]):016x}" == hashlib.sha256(b"0:A").hexdigest()[:16]


def test_shares_are_those_of_the_rows():
    assert SPLITS == {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert Counter(splits_of([f"GROUP{i}" for i in range(1003)])) == {"train": 802, "validation": 101, "test": 100}


@settings(derandomize=True, deadline=None)
@given(groups=ROWS, seed=st.integers(0, 3))
def test_all_rows_of_a_group_are_in_one_split(groups, seed):
    assert len(set(zip(groups, splits_of(groups, seed)))) == len(set(groups))


@settings(derandomize=True, deadline=None)
@given(groups=ROWS, data=st.data())
def test_the_order_of_the_rows_does_not_matter(groups, data):
    shuffled = data.draw(st.permutations(groups))
    assert dict(zip(groups, splits_of(groups))) == dict(zip(shuffled, splits_of(shuffled)))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=100, max_size=200), seed=st.integers(0, 3))
def test_shares_are_met_to_within_one_group(sizes, seed):
    groups = [f"GROUP{i}" for i, size in enumerate(sizes) for _ in range(size)]
    counts = Counter(splits_of(groups, seed))
    for split, share in SPLITS.items():
        assert abs(counts[split] - share * len(groups)) <= max(sizes) + 1


def test_large_groups_go_to_train():
    sizes = {"LARGE": 51, "SMALL": 50} | {f"GROUP{i}": 1 for i in range(899)}  # half of the smallest split: 50 rows
    groups = [group for group, size in sizes.items() for _ in range(size)]
    splits_of_small = set()
    for seed in range(20):
        cuts = make_cuts(hash_groups(groups, seed))
        hashes = hash_groups(["LARGE", "SMALL"], seed)
        large, small = cuts.name_splits(hashes)
        assert cuts.large == (hashes[0],)
        assert large == "train"
        splits_of_small.add(small)
    assert len(splits_of_small) > 1  # it is dealt like any other


def test_large_groups_that_overfill_train_leave_the_rest_to_the_others():
    groups = ["LARGE"] * 900 + [f"GROUP{i}" for i in range(100)]
    assert Counter(splits_of(groups)) == {"train": 900, "validation": 50, "test": 50}


def test_groups_that_are_all_large_are_all_in_train():
    assert splits_of(["A", "A", "B", "B", "C", "C"]) == ["train"] * 6


def test_another_seed_gives_another_split():
    groups = [f"GROUP{i}" for i in range(1003)]
    tests = [{group for group, split in zip(groups, splits_of(groups, seed)) if split == "test"} for seed in (0, 1)]
    assert len(tests[0] & tests[1]) < 30  # 10 expected for independent draws of 100 of 1003


@settings(derandomize=True, deadline=None)
@given(values=HASHES)
def test_cuts_deal_one_by_one_as_all_at_once(values):
    hashes = np.array(values, dtype=np.uint64)
    cuts = make_cuts(hashes)
    names = cuts.name_splits(hashes)
    assert names.shape == hashes.shape
    assert names.tolist() == [str(cuts.name_splits(hashes[[row]])[0]) for row in range(len(hashes))]


def test_the_split_of_part_of_the_rows_is_that_of_all():
    hashes = hash_groups((f"GROUP{i % 700}" for i in range(1003)), seed=0)
    cuts = make_cuts(hashes)
    parts = [cuts.name_splits(part) for part in np.array_split(hashes, 7)]
    assert np.concatenate(parts).tolist() == cuts.name_splits(hashes).tolist()


def test_no_rows():
    cuts = make_cuts(hash_groups([], seed=0))
    assert cuts == Cuts()
    assert cuts.name_splits(np.array([], dtype=np.uint64)).shape == (0,)


def scaffold_of(smiles):
    return find_scaffold_group(Chem.MolToInchi(Chem.MolFromSmiles(smiles)), "BLOCK")


def test_a_scaffold_has_no_side_chains_and_no_stereo():
    scaffolds = {scaffold_of(smiles) for smiles in ("CC(=O)c1ccccc1", "C[C@H](O)c1ccccc1", "Clc1ccccc1")}
    assert scaffolds == {Chem.CanonSmiles("C1=CC=CC=C1")}
    assert scaffold_of("C[C@H]1CC[C@@H](C/C=C/c2ccccc2)CC1") == Chem.CanonSmiles("C1CCCCC1CC=Cc1ccccc1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C[NH+]1CCCCC1", "CN1CCCCC1"),
        ("[O-]c1ccccc1", "Oc1ccccc1"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("[2H]c1ccccc1", "c1ccccc1"),
    ],
    ids=["protonated", "deprotonated", "tautomers", "isotopes"],
)
def test_molecules_of_one_first_block_have_one_scaffold(one, other):
    assert len({Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14] for smiles in (one, other)}) == 1
    assert scaffold_of(one) == scaffold_of(other) != "BLOCK"


@pytest.mark.parametrize("smiles", ["CCO", "[Na+].[Cl-]", "[H][H]"])
def test_without_a_scaffold_the_first_block_is_the_group(smiles):
    assert scaffold_of(smiles) == "BLOCK"


@pytest.mark.parametrize("inchi", ["InChI=1S/", "InChI=1S/C99/c1-2"])
def test_an_inchi_that_rdkit_refuses_leaves_the_first_block(inchi):
    assert find_scaffold_group(inchi, "BLOCK") == "BLOCK"


def test_a_row_is_dealt_by_its_first_block_or_scaffold():
    inchi = Chem.MolToInchi(Chem.MolFromSmiles("Cc1ccccc1"))
    assert find_split_group("first_block", inchi, "BLOCK") == "BLOCK"
    assert find_split_group("scaffold", inchi, "BLOCK") == "c1ccccc1"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((110, 10, 11), {"train": 110, "validation": 10, "test": 11}),
        ((1, 0, 0), {"train": 131}),
        ((2, 1, 0), {"train": 87, "validation": 44}),
        ((0.5, 0.25, 0.25), {"train": 66, "validation": 32, "test": 33}),
    ],
)
def test_splits_have_the_sizes_that_are_asked_for(sizes, expected):
    hashes = hash_groups([f"G{number}" for number in range(131)], seed=0)
    assert Counter(make_cuts(hashes, sizes).name_splits(hashes).tolist()) == expected


def test_sizes_hold_to_within_a_group_and_no_group_is_torn():
    groups = [f"G{number // 2}" for number in range(200)]
    hashes = hash_groups(groups, seed=1)
    splits = make_cuts(hashes, (151, 24, 25)).name_splits(hashes).tolist()
    assert Counter(splits) == {"train": 150, "validation": 24, "test": 26}
    assert len({*zip(groups, splits)}) == 100
