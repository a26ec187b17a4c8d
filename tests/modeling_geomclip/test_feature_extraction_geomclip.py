"""Compare rows with ids and coordinates written by hand."""

import json
import threading
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from modeling_geomclip.feature_extraction_geomclip import ELEMENTS, VOCABULARY, GeomCLIPFeatureExtractor
from modeling_geomclip.molecules_geomclip import MoleculeError

# Asymmetric on purpose; carbon and nitrogen have the centroid (1, 1, 0.5).
AMINE = {"atomic_numbers": [6, 1, 7], "positions": [[0.0, 1.0, 0.0], [5.0, 5.0, 5.0], [2.0, 1.0, 1.0]]}
OXYGEN = {"atomic_numbers": np.array([8], dtype=np.uint8), "positions": torch.tensor([[3.0, 2.0, 1.0]])}
NAN = {"atomic_numbers": [6], "positions": [[0.0, 0.0, float("nan")]]}


@pytest.fixture
def extractor() -> GeomCLIPFeatureExtractor:
    return GeomCLIPFeatureExtractor()


def test_vocabulary_is_uni_mols_dictionary_in_its_order():
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 31
    places = {
        "[PAD]": 0,
        "[CLS]": 1,
        "[SEP]": 2,
        "[UNK]": 3,
        "C": 4,
        "H": 8,
        "Si": 13,
        "Fe": 23,
        "Li": 29,
        "[MASK]": 30,
    }
    assert {symbol: VOCABULARY.index(symbol) for symbol in places} == places


def test_elements_are_the_periodic_table():
    table = Chem.GetPeriodicTable()
    assert [table.GetElementSymbol(number) for number in range(1, 119)] == ELEMENTS


def test_batch_of_two_by_hand(extractor):
    batch = extractor([AMINE, OXYGEN])
    np.testing.assert_array_equal(batch["atom_ids"], [[1, 4, 5, 2], [1, 6, 2, 0]])
    np.testing.assert_array_equal(batch["atom_mask"], [[False, True, True, False], [False, True, False, False]])
    amine = [[0, 0, 0], [-1, 0, -0.5], [1, 0, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(batch["positions"], [amine, np.zeros((4, 3))], atol=1e-7)
    assert [batch[name].dtype for name in extractor.model_input_names] == [np.int64, np.float32, np.bool_]


def test_torch_tensors(extractor):
    batch = extractor([AMINE, OXYGEN], return_tensors="pt")
    assert [batch[name].dtype for name in extractor.model_input_names] == [torch.int64, torch.float32, torch.bool]
    assert batch["atom_ids"].tolist() == [[1, 4, 5, 2], [1, 6, 2, 0]]


def test_every_element_has_the_id_of_its_symbol(extractor):
    numbers = np.arange(1, 119)
    with pytest.warns(UserWarning, match="outside the dictionary"):
        ids = GeomCLIPFeatureExtractor(remove_hydrogens=False)(
            [{"atomic_numbers": [number], "positions": [[0, 0, 0]]} for number in numbers]
        )["atom_ids"][:, 1]
    table = Chem.GetPeriodicTable()
    symbols = [table.GetElementSymbol(int(number)) for number in numbers]
    assert [VOCABULARY[i] for i in ids] == [symbol if symbol in VOCABULARY else "[UNK]" for symbol in symbols]
    assert (ids != 3).sum() == 26


def test_one_molecule_and_any_iterable_of_molecules(extractor):
    one = extractor(AMINE)["positions"]
    for batch in ([AMINE], (AMINE,), (molecule for molecule in [AMINE])):
        np.testing.assert_array_equal(extractor(batch)["positions"], one)
    assert extractor("CCO")["atom_ids"].tolist() == extractor(Chem.MolFromSmiles("OCC"))["atom_ids"].tolist()


def test_hydrogens_are_kept_on_request_and_in_molecules_of_hydrogen_only(extractor):
    assert extractor("[HH]")["atom_ids"].tolist() == [[1, 8, 8, 2]]
    assert GeomCLIPFeatureExtractor(remove_hydrogens=False)(AMINE)["atom_ids"].tolist() == [[1, 4, 8, 5, 2]]


def test_positions_far_from_the_origin_keep_their_precision(extractor):
    far = {**AMINE, "positions": np.array(AMINE["positions"]) + 9e4}
    np.testing.assert_allclose(extractor(far)["positions"], extractor(AMINE)["positions"], atol=1e-6)


def test_unknown_elements_are_counted_in_one_warning(extractor):
    uranium = {"atomic_numbers": [92, 92, 6], "positions": 2 * np.eye(3)}
    helium = {"atomic_numbers": [2], "positions": [[0, 0, 0]]}
    with pytest.warns(UserWarning, match=r"\[UNK\]") as caught:
        batch = extractor([uranium, helium])
    assert [str(w.message) for w in caught] == ["atoms of elements outside the dictionary became [UNK]: He 1, U 2"]
    assert batch["atom_ids"].tolist() == [[1, 3, 3, 4, 2], [1, 3, 2, 0, 0]]
    assert batch["atom_mask"].sum() == 4


def test_known_elements_give_no_warning(extractor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor([AMINE, OXYGEN])


def test_error_names_index_value_rule_and_remedy(extractor):
    with pytest.raises(
        MoleculeError,
        match=r"molecule 1 \('C1CC'\): RDKit cannot read it as SMILES \(unclosed ring\); correct or drop it",
    ):
        extractor(["CC", "C1CC"])
    with pytest.raises(MoleculeError, match=r"molecule 2 .*: it has 3 atoms, more than max_atoms=2; raise max_atoms"):
        GeomCLIPFeatureExtractor(max_atoms=2)([AMINE, OXYGEN, "CCO"])


def test_max_atoms_itself_is_allowed():
    assert GeomCLIPFeatureExtractor(max_atoms=2)(AMINE)["atom_mask"].sum() == 2


def test_empty_list_and_unknown_error_mode_are_refused(extractor):
    with pytest.raises(MoleculeError, match="list of molecules is empty"):
        extractor([])
    with pytest.raises(ValueError, match="errors is 'ignore'; use 'raise' or 'report'"):
        extractor(AMINE, errors="ignore")


@pytest.mark.parametrize("return_tensors", [None, "np", "pt"])
def test_report_keeps_good_rows_and_lists_the_others(extractor, return_tensors):
    batch = extractor([NAN, AMINE, "C1CC", OXYGEN], return_tensors=return_tensors, errors="report")
    good = extractor([AMINE, OXYGEN])
    for name in extractor.model_input_names:
        np.testing.assert_array_equal(batch[name], good[name])
    assert batch["kept"].tolist() == [1, 3]
    assert [failure["index"] for failure in batch["failures"]] == [0, 2]
    assert batch["failures"][1] == {
        "index": 2,
        "molecule": "'C1CC'",
        "reason": "RDKit cannot read it as SMILES (unclosed ring); correct or drop it",
    }
    assert json.loads(json.dumps(batch["failures"])) == batch["failures"]


@pytest.mark.parametrize("setting", [{"max_atoms": 0}, {"conformer_seed": -1}, {"conformer_seed": 2**31}])
def test_impossible_settings_are_refused(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name} is {setting[name]}; it must"):
        GeomCLIPFeatureExtractor(**setting)


def test_report_with_no_failures_and_with_only_failures(extractor):
    assert extractor([AMINE], errors="report")["failures"] == []
    batch = extractor([NAN, NAN], return_tensors="pt", errors="report")
    assert batch["atom_ids"].shape == batch["atom_mask"].shape == (0, 2)
    assert batch["positions"].shape == (0, 2, 3)
    assert batch["kept"].shape == (0,)
    assert len(batch["failures"]) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_positions_never_go_below_float32(extractor, dtype):
    batch = extractor([AMINE, NAN], return_tensors="pt", errors="report")
    failures, positions = list(batch["failures"]), batch["positions"]
    batch["weights"] = torch.ones(1)
    moved = batch.to("cpu", dtype)
    assert moved is batch
    assert batch["weights"].dtype == dtype
    assert batch["positions"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(batch["positions"].float(), positions, rtol=0, atol=0)
    assert batch["atom_ids"].dtype == torch.int64
    assert batch["atom_mask"].dtype == torch.bool
    assert batch["failures"] == failures


def test_float64_positions_are_not_cast_below_float32(extractor):
    batch = extractor(AMINE, return_tensors="pt").to(torch.float64)
    assert batch.to(torch.bfloat16)["positions"].dtype == torch.float32


def test_batch_without_positions_can_be_cast(extractor):
    batch = extractor(AMINE, return_tensors="pt")
    del batch["positions"]
    assert "positions" not in batch.to(torch.bfloat16)


@pytest.fixture
def torch_threads():
    number = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(number)


class Meeting:
    """Mimic ASE's `Atoms`; an object can be read only while others are being read."""

    pbc = False

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def get_atomic_numbers(self) -> np.ndarray:
        self.barrier.wait(timeout=60)
        return np.array([6])

    def get_positions(self) -> np.ndarray:
        return np.zeros((1, 3))


def test_molecules_are_read_in_as_many_threads_as_torch_uses(extractor, torch_threads):
    barrier = threading.Barrier(torch_threads)
    records, _ = extractor.read([Meeting(barrier) for _ in range(2 * torch_threads)])
    assert len(records) == 2 * torch_threads


def test_threads_change_neither_conformers_nor_order(extractor, torch_threads):
    chains = ["C" * length + "O" for length in range(12, 0, -1)]  # the first take longest
    molecules = [molecule for chain in chains for molecule in (chain, AMINE, "C1CC", chain[:-1] + "[N@@](C)O")] * 4
    records, failures = extractor.read(molecules, errors="report")
    torch.set_num_threads(1)
    alone = [extractor.read([molecule], errors="report") for molecule in molecules[:48]]
    expected = [record for found, _ in alone for record in found] * 4
    assert [r["index"] for r in records] == [i for i in range(len(molecules)) if molecules[i] != "C1CC"]
    assert [f["index"] for f in failures] == [i for i in range(len(molecules)) if molecules[i] == "C1CC"]
    for record, one in zip(records, expected, strict=True):
        np.testing.assert_array_equal(record["atomic_numbers"], one["atomic_numbers"])
        np.testing.assert_array_equal(record["positions"], one["positions"])


def test_an_error_stops_all_threads_and_names_the_first_bad_molecule(extractor, torch_threads):
    running = threading.active_count()
    with pytest.raises(MoleculeError) as caught:
        extractor.read(["CCO", "C1CC", "xx"] + ["CCCCCO"] * 200)
    assert (caught.value.index, caught.value.value) == (1, "'C1CC'")
    assert threading.active_count() == running


def test_settings_are_saved(tmp_path):
    GeomCLIPFeatureExtractor(remove_hydrogens=False, max_atoms=9, conformer_seed=7).save_pretrained(tmp_path)
    loaded = GeomCLIPFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.remove_hydrogens, loaded.max_atoms, loaded.conformer_seed) == (False, 9, 7)


def test_conformer_seed_is_used():
    one, two = (GeomCLIPFeatureExtractor(conformer_seed=seed)("CCCCO")["positions"] for seed in (1, 2))
    assert np.abs(one - two).max() > 0.1


ATOMS = st.lists(st.tuples(st.integers(0, 119), st.tuples(*[st.floats(width=32)] * 3)), max_size=5)
MAPPINGS = ATOMS.map(
    lambda atoms: {"atomic_numbers": [n for n, _ in atoms], "positions": [place for _, place in atoms]}
)


@pytest.mark.filterwarnings("ignore:atoms of elements outside the dictionary")
@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(MAPPINGS | st.text(max_size=5) | st.none(), min_size=1, max_size=5))
def test_every_input_becomes_a_finite_row_or_a_failure(molecules):
    batch = GeomCLIPFeatureExtractor(max_atoms=4)(molecules, return_tensors="pt", errors="report")
    assert sorted([*batch["kept"].tolist(), *(failure["index"] for failure in batch["failures"])]) == [
        *range(len(molecules))
    ]
    assert batch["positions"].isfinite().all()
    assert (batch["atom_mask"] == (batch["atom_ids"] >= 3)).all()
    assert batch["atom_mask"].any(dim=1).all()
