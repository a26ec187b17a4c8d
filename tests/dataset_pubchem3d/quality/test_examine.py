import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pubchem3d.quality.examine import DISTANCE_FAULT, ELEMENTS_FAULT, NOT_FINITE_FAULT, SHAPE_FAULT
from dataset_pubchem3d.schema import FEATURES


def changed(entry, change):
    change(entry)
    return entry


def test_each_planted_fault_is_found_with_its_row(row, clashing, write, measure, faults):
    far, near = row("CCCC"), row("CCCCC")
    near["further_positions"] = [np.array(near["positions"]).tolist()]
    near["further_positions"][0][1] = np.add(near["positions"][0], [0, 0, 0.5]).tolist()
    far["further_positions"] = [(1.2 * np.array(far["positions"])).tolist()]
    train = [
        row("CCO"),
        clashing,
        changed(row("CC"), lambda entry: entry["positions"].pop()),
        far,
        changed(row("CCN"), lambda entry: entry["positions"][2].__setitem__(1, float("nan"))),
        near,
        changed(row("CCF"), lambda entry: entry.update(further_positions=[entry["positions"][1:]])),
        changed(row("CCS"), lambda entry: entry.update(positions=[], atomic_numbers=[])),
    ]
    found = faults(measure(write("default", train=train)))

    def at(*indices):
        return [f"default/train-00000-of-00001.parquet row {i}, {train[i]['inchikey']}" for i in indices]

    assert found == {
        ("default", DISTANCE_FAULT): (2, at(1, 5)),
        ("default", SHAPE_FAULT): (3, at(2, 6, 7)),
        ("default", NOT_FINITE_FAULT): (1, at(4)),
        ("default", "n_heavy is not the geometry's number of heavy atoms"): (1, at(7)),
        ("default", ELEMENTS_FAULT): (1, at(7)),
    }


def test_atoms_must_not_coincide_and_must_be_in_angstroms(row, write, measure, faults):
    close = row("C#C", atomic_numbers=[6, 6, 1, 1], positions=[[0, 0, 0], [0, 0, 1.2], [0, 0, 2.2], [0, 0, -1.0]])
    assert measure(write("default", train=[close]))["faults"] == []
    two_hydrogens = row("C", atomic_numbers=[6, 1, 1], positions=[[0, 0, 0], [0, 0, 1.1], [0, 0, 1.1]])
    ethanol, propanol = row("CCO"), row("CCCO")
    ethanol["positions"] = (np.array(ethanol["positions"]) / 0.529177).tolist()
    propanol["positions"] = (np.array(propanol["positions"]) / 10).tolist()
    at_one_place = row("CC", positions=[[0.0, 0.0, 0.0]] * 8)
    found = faults(measure(write("default", train=[two_hydrogens, ethanol, propanol, at_one_place])))
    assert found["default", DISTANCE_FAULT][0] == 4


def test_a_geometry_of_other_elements_is_found(row, write, measure, faults):
    found = faults(measure(write("default", train=[row("CCO"), row("CCO", smiles="CCS")])))
    assert found["default", ELEMENTS_FAULT][0] == 1


def test_one_atom_has_no_distances(row, write, measure):
    alone = row("C", atomic_numbers=[6], positions=[[0, 0, 0]])
    assert measure(write("default", train=[alone]))["faults"] == []


def test_faults_of_the_other_columns_are_found(row, write, measure, faults):
    train = [row("CCO", "fine"), row("CCN", "  "), row("CCF", None), row("CCCl", split="test"), row("CCBr", n_heavy=4)]
    train += [row("CCI", inchikey14="A" * 14), row("CCP", smiles="CC(P")]
    train += [row("CC", atomic_numbers=[6, 6, 0, 119, 1, 1, 1, 1])]
    report = measure(write("default", train=train))
    assert {fault: count for (_, fault), (count, _) in faults(report).items()} == {
        "text is null": 1,
        "text is empty": 1,
        "split differs from the split of the file": 1,
        "n_heavy is not the geometry's number of heavy atoms": 2,
        "inchikey14 is not the first block of inchikey": 1,
        "RDKit cannot read the SMILES": 1,
        "an atomic number is not one of 1 to 118": 1,
        ELEMENTS_FAULT: 1,
    }
    assert report["configs"]["default"]["rows"] == 8
    assert report["configs"]["default"]["inchikeys"] == 7  # without the row with a null


def test_only_the_first_rows_are_named_but_all_are_counted(row, write, measure, faults):
    train = [row("CCO", " ", geometry_id=str(index)) for index in range(12)]
    count, first = faults(measure(write("default", train=train)))["default", "text is empty"]
    assert (count, len(first)) == (12, 10)


@pytest.mark.parametrize(("smiles", "numbers"), [("[Ti]", [22]), ("[Ti]", [6]), ("C", [22]), ("[Li]", [3]), ("C", [6])])
def test_an_element_of_the_smiles_or_the_geometry_counts(smiles, numbers, row, write, measure):
    entry = row(smiles, atomic_numbers=numbers, positions=[[0.0, 0.0, 0.0]])
    report = measure(write("default", train=[entry]))
    assert report["configs"]["default"]["rows_outside_dictionary"] == int(smiles == "[Ti]" or numbers == [22])


def test_points_need_not_be_of_fixed_size(tmp_path, row, measure, faults):
    good, bad = row("CCO", split="train"), row("CCN", split="train")
    bad["positions"][0] = bad["positions"][0][:2]
    entries = [{name: entry.get(name) for name in FEATURES} for entry in (good, bad)]
    schema = FEATURES.arrow_schema
    schema = schema.set(schema.get_field_index("positions"), pa.field("positions", pa.list_(pa.list_(pa.float32()))))
    file = tmp_path / "data" / "default" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(entries, schema), file)
    assert {key: count for key, (count, _) in faults(measure(tmp_path)).items()} == {("default", SHAPE_FAULT): 1}
