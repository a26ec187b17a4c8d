import hashlib
import re
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.stages.splits import SPLITS, Cuts, find_scaffold_group, find_split_group, hash_groups, make_cuts

ROWS = st.lists(st.integers(0, 40).map("GROUP{}".format) | st.text(max_size=3), max_size=300)
SIZES = st.tuples(st.floats(0.01, 10), st.floats(0, 10), st.floats(0, 10))
HASHES = st.lists(st.integers(0, 5) | st.integers(0, 2**64 - 1) | st.just(2**64 - 1), max_size=60)

ROOT = Path(__file__).parents[3]
CONFIGS, EXPERIMENTS = ROOT / "configs" / "data", ROOT / "research" / "experiments"


def splits_of(groups, seed=0):
    hashes = hash_groups(groups, seed)
    return make_cuts(hashes).name_splits(hashes).tolist()


def dealt_one_by_one(groups, seed):
    """The splits of distinct groups of one row each, computed without cuts or NumPy."""
    splits = {}
    for group in groups:
        place = Fraction(int(hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:16], 16), 2**64)
        splits[group] = "train" if place < Fraction(8, 10) else "validation" if place < Fraction(9, 10) else "test"
    return splits


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("size", [*range(30), 1003, 2224])
def test_single_rows_are_assigned_by_their_hashes(seed, size):
    keys = [f"{number:014x}" for number in np.random.default_rng(size).permutation(10 * size)[:size]]
    assert dict(zip(keys, splits_of(keys, seed))) == dealt_one_by_one(keys, seed)


def test_a_known_assignment_does_not_drift():
    splits = dict.fromkeys("QR", "validation") | dict.fromkeys("FHY", "test")  # `printf 0:A | sha256sum` etc.
    expected = dict.fromkeys(ascii_uppercase, "train") | splits
    assert dict(zip(ascii_uppercase, splits_of(ascii_uppercase))) == expected


def test_a_group_hash_is_the_start_of_sha256():
    hashes = hash_groups(iter(["A"]), seed=0)
    assert hashes.dtype == np.uint64
    assert f"{int(hashes[0]):016x}" == hashlib.sha256(b"0:A").hexdigest()[:16]


def test_shares_hold_on_average():
    assert SPLITS == {"train": 0.8, "validation": 0.1, "test": 0.1}
    counts = Counter(splits_of(f"GROUP{i // 2}" for i in range(100_000)))
    assert counts == {split: pytest.approx(share * 100_000, abs=500) for split, share in SPLITS.items()}


@settings(derandomize=True, deadline=None)
@given(groups=ROWS, seed=st.integers(0, 3))
def test_all_rows_of_a_group_are_in_one_split(groups, seed):
    assert len(set(zip(groups, splits_of(groups, seed)))) == len(set(groups))


@settings(derandomize=True, deadline=None)
@given(groups=ROWS, data=st.data())
def test_the_order_of_the_rows_does_not_matter(groups, data):
    shuffled = data.draw(st.permutations(groups))
    assert dict(zip(groups, splits_of(groups))) == dict(zip(shuffled, splits_of(shuffled)))


@settings(derandomize=True, deadline=None)
@given(values=st.lists(st.integers(0, 2**64 - 1), max_size=60), sizes=SIZES, data=st.data())
def test_removing_a_row_moves_no_single_row(values, sizes, data):
    is_kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=bool)
    hashes = np.array(values, dtype=np.uint64)
    rows = dict(zip(*np.unique(hashes, return_counts=True)))
    is_single = np.array([rows[value] == 1 for value in hashes], dtype=bool)
    before = make_cuts(hashes, sizes).name_splits(hashes)
    after = make_cuts(hashes[is_kept], sizes).name_splits(hashes[is_kept])
    assert after[is_single[is_kept]].tolist() == before[is_kept & is_single].tolist()


SIZES_OF_GROUPS = {  # 1,700 rows each: groups of more than 64 are large, even after removals down to 1,280 rows
    "first_block": [*range(1, 41), *[1] * 880],  # none is
    "scaffold": [600, 60, *range(1, 21), *[1] * 830],  # one is
}


@pytest.mark.parametrize("split_by", ["first_block", "scaffold"])
@settings(derandomize=True, deadline=None, max_examples=30)
@given(num_removed=st.integers(0, 420), seed=st.integers(0, 2**32 - 1))
def test_removing_rows_moves_no_other_row(split_by, num_removed, seed):
    sizes = SIZES_OF_GROUPS[split_by]
    hashes = hash_groups(np.repeat([f"GROUP{i}" for i in range(len(sizes))], sizes), seed=0)
    assert len(hashes) == 1700
    kept = np.random.default_rng(seed).permutation(hashes)[num_removed:]
    assert len(make_cuts(kept).large) == (split_by == "scaffold")
    assert make_cuts(kept) == make_cuts(hashes)


def test_large_groups_go_to_train():
    sizes = {"LARGE": 33, "SMALL": 32} | {f"GROUP{i}": 1 for i in range(935)}  # half of the smallest split: 50 rows
    groups = [group for group, size in sizes.items() for _ in range(size)]
    splits_of_small = set()
    for seed in range(20):
        cuts = make_cuts(hash_groups(groups, seed))
        hashes = hash_groups(["LARGE", "SMALL"], seed)
        large, small = cuts.name_splits(hashes)
        assert cuts.large == (hashes[0],)
        assert large == "train"
        splits_of_small.add(small)
    assert len(splits_of_small) > 1  # it is assigned like any other group


def large_of(**rows):
    """The large groups if the others are single rows, up to a total of `total`."""
    total = rows.pop("total") - sum(rows.values())
    groups = [*(group for group, number in rows.items() for _ in range(number)), *(f"GROUP{i}" for i in range(total))]
    large = make_cuts(hash_groups(groups, seed=0)).large
    return {group for group in rows if hash_groups([group], seed=0)[0] in large}


def test_the_bound_of_large_groups_is_half_the_smallest_split_rounded_down_to_a_power_of_two():
    for total in (640, 641, 700, 1000, 1279):  # half of the smallest split: 32, 32.05, 35, 50, 63.95 rows
        assert large_of(total=total, A=33, B=32, C=2) == {"A"}


def test_a_group_moves_only_if_it_loses_rows_or_the_total_moves_the_bound():
    assert large_of(total=1000, A=33) == {"A"}
    assert large_of(total=999, A=32) == set()  # the group itself lost a row
    assert large_of(total=1280, A=64, B=33, C=32) == set()
    assert large_of(total=1279, A=64, B=33, C=32) == {"A", "B"}  # from 64 to 32
    assert large_of(total=20, A=2, B=1) == {"A"}  # a group of one row is never large


def test_large_groups_are_in_train_in_addition_to_its_share():
    splits = splits_of(["LARGE"] * 9000 + [f"GROUP{i}" for i in range(1000)])
    assert splits[:9000] == ["train"] * 9000
    assert Counter(splits[9000:]) == {split: pytest.approx(share * 1000, abs=40) for split, share in SPLITS.items()}


def test_groups_that_are_all_large_are_all_in_train():
    assert splits_of(["A", "A", "B", "B", "C", "C"]) == ["train"] * 6


def test_another_seed_gives_another_split():
    groups = [f"GROUP{i}" for i in range(1003)]
    tests = [{group for group, split in zip(groups, splits_of(groups, seed)) if split == "test"} for seed in (0, 1)]
    assert len(tests[0] & tests[1]) < 30  # 10 expected for independent draws of 100 of 1003


@settings(derandomize=True, deadline=None)
@given(values=HASHES)
def test_cuts_assign_groups_independently(values):
    hashes = np.array(values, dtype=np.uint64)
    cuts = make_cuts(hashes)
    names = cuts.name_splits(hashes)
    assert names.shape == hashes.shape
    assert names.tolist() == [str(cuts.name_splits(hashes[[row]])[0]) for row in range(len(hashes))]


def test_a_subset_of_the_rows_has_the_same_splits():
    hashes = hash_groups((f"GROUP{i % 700}" for i in range(1003)), seed=0)
    cuts = make_cuts(hashes)
    parts = [cuts.name_splits(part) for part in np.array_split(hashes, 7)]
    assert np.concatenate(parts).tolist() == cuts.name_splits(hashes).tolist()


def test_no_rows():
    cuts = make_cuts(hash_groups([], seed=0))
    assert cuts.large == ()
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
def test_an_inchi_that_rdkit_refuses_gives_the_first_block(inchi):
    assert find_scaffold_group(inchi, "BLOCK") == "BLOCK"


def test_a_row_is_grouped_by_its_first_block_or_scaffold():
    inchi = Chem.MolToInchi(Chem.MolFromSmiles("Cc1ccccc1"))
    assert find_split_group("first_block", inchi, "BLOCK") == "BLOCK"
    assert find_split_group("scaffold", inchi, "BLOCK") == "c1ccccc1"


@pytest.mark.parametrize("sizes", [(8, 1, 1), (0.8, 0.1, 0.1), (80_000, 10_000, 10_000), np.array([0.4, 0.05, 0.05])])
def test_sizes_are_proportions(sizes):
    cuts = [-(-8 * 2**64 // 10) - 1, -(-9 * 2**64 // 10) - 1, 2**64 - 1]
    assert make_cuts(np.array([], np.uint64), sizes) == Cuts(dict(zip(SPLITS, cuts)))


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        ((1, 0, 0), {"train": 1}),
        ((1, 1, 0), {"train": 0.5, "validation": 1}),
        ((3, 0, 1), {"train": 0.75, "test": 1}),
        ((0.5, 0.25, 0.25), {"train": 0.5, "validation": 0.75, "test": 1}),
    ],
)
def test_cuts_are_exact_and_a_split_without_a_share_has_no_rows(sizes, ends):
    first = np.array([0, *(round(end * 2**64) for end in ends.values() if end < 1)], dtype=np.uint64)  # of each split
    last = np.array([*(first[1:] - np.uint64(1)), 2**64 - 1], dtype=np.uint64)
    hashes = np.concatenate([first, last, hash_groups((f"G{number}" for number in range(131)), seed=0)])
    names = make_cuts(hashes, sizes).name_splits(hashes)
    assert names[: 2 * len(ends)].tolist() == [*ends, *ends]
    assert set(names) == set(ends)


def test_a_tiny_share_does_not_change_the_other_splits():
    hashes = np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    assert make_cuts(hashes, (1, 1e-300, 0)).name_splits(hashes).tolist() == ["train"] * 3


# ----------------------------------------------------------------------------------- what models were measured on

AT_THE_OLD_CUTS = {  # last and first hashes of neighbouring splits, as once cut by the number of rows
    "qm9_pairs": (0xCC1C9DEF345AE850, 0xCC1D3599B90E5842, 0xE60912AD9E10E67D, 0xE60A7DA784284AB5),  # all of QM9
    "qm9": (0xD738B3940C23E7CC, 0xD738B4FD21B2B7E5, 0xEAB9437ACF3769EA, 0xEABA26AA029A9772),
    "chemicals": (0xCD16466BBE93280A, 0xCD173742C5D09891, 0xE6379132995C1169, 0xE639ACEA2FB1BB18),
    "retrieval": (0xCBE8171EEE9700C2, 0xCBE9516107A8412E, 0xE5F47D4C7C869F69, 0xE60D8A81A5D8BD32),
    "seed 1": (0xCD68809AE9A315B0, 0xCD7A54E225BAB32E, 0xE7570C3D035F5A37, 0xE757A170E3AFD6B4),
    "seed 2": (0xCC145FCE1C6BACF8, 0xCC14739E9ECA33B8, 0xE36600F6D067C125, 0xE37C636096B112F0),
}


def read_sizes(script, pattern):
    return [tuple(map(float, sizes.split())) for sizes in re.findall(pattern, (EXPERIMENTS / script).read_text())]


def assert_old_splits(name, sizes):
    hashes = np.array(AT_THE_OLD_CUTS[name], dtype=np.uint64)
    expected = ["train", "validation", "validation", "test"]
    assert make_cuts(hashes, sizes).name_splits(hashes).tolist() == expected
    assert sum(map(Decimal, map(str, sizes))) == 1


@pytest.mark.parametrize("name", ["qm9_pairs", "qm9", "chemicals"])
def test_shipped_recipes_give_the_splits_of_the_evaluated_models(name):
    assert_old_splits(name, Recipe.from_yaml(CONFIGS / f"{name}.yaml").split_sizes)


def test_the_recipe_of_the_packages_gives_the_splits_of_the_evaluated_models():
    assert Recipe.from_packages().split_sizes == Recipe.from_yaml(CONFIGS / "qm9_pairs.yaml").split_sizes


@pytest.mark.parametrize("script", ["retrieval.sh", "geomclip_mini.md"])
def test_the_pairs_of_the_released_model_keep_their_splits(script):
    (sizes,) = read_sizes(script, r"--path \S+ --split-sizes ([\d. ]+) ")
    assert_old_splits("retrieval", sizes)


def test_three_seeds_keep_their_splits():
    for name, sizes in zip(
        ("qm9_pairs", "seed 1", "seed 2"), read_sizes("three_seeds.sh", r'"([\d. ]+)"'), strict=True
    ):
        assert_old_splits(name, sizes)
