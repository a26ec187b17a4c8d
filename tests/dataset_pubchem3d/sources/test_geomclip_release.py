import os
import pickle

import lmdb
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources.geomclip_release import GeomCLIPGeometries, GeomCLIPTexts

TEXTS, GEOMETRIES = GeomCLIPTexts(), GeomCLIPGeometries()
MOLECULES = {2: "CCO", 10: "CC(=O)[O-]", 1001: "[H][H]"}  # as strings, 10 < 1001 < 2


def make_record(smiles: str) -> dict:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    conformers = list(rdDistGeom.EmbedMultipleConfs(mol, 2, randomSeed=7))
    positions = [mol.GetConformer(number).GetPositions().astype(np.float32) for number in conformers]
    return {"smi": smiles, "atoms": [atom.GetSymbol() for atom in mol.GetAtoms()], "coordinates": positions}


RECORDS = {cid: make_record(smiles) for cid, smiles in MOLECULES.items()}


def write(folder, values: dict[str, bytes] | None = None, texts: dict[str, bytes] | None = None):
    (folder / "text").mkdir()
    texts = (
        {f"mol_{cid}.txt": f"It is {cid}.\n\n  It is so. \n".encode() for cid in RECORDS} if texts is None else texts
    )
    for name, content in texts.items():
        (folder / "text" / name).write_bytes(content)
    if values is None:
        values = {str(place): pickle.dumps(record, 5) for place, record in enumerate(RECORDS.values())}
    opened = lmdb.open(str(folder / "unimol_mol.lmdb"), subdir=False, map_size=2**22)
    with opened as environment, environment.begin(write=True) as records:
        for key, value in values.items():
            records.put(key.encode(), value)
    return folder


def test_records_belong_to_the_texts_by_the_number_of_the_cid(tmp_path):
    write(tmp_path)
    raws = [pickle.loads(pickle.dumps(raw)) for raw in GEOMETRIES.read_records(tmp_path)]
    keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES.values()]
    assert [GEOMETRIES.identify(raw) for raw in raws] == [Identity(*both) for both in zip(MOLECULES, keys)]
    for raw, record in zip(raws, RECORDS.values(), strict=True):
        geometry = GEOMETRIES.parse_geometry(raw)
        symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in geometry.atomic_numbers.tolist()]
        assert symbols == record["atoms"]
        np.testing.assert_array_equal(geometry.positions, np.stack(record["coordinates"]))
        assert geometry.energies is None
    (text,) = TEXTS.parse_texts(next(iter(TEXTS.read_records(tmp_path))))
    assert (text.cid, text.text) == (2, "It is 2. It is so.")
    assert [raw["cid"] for raw in TEXTS.read_records(tmp_path)] == list(MOLECULES)


def test_different_numbers_of_records_and_texts_are_refused(tmp_path):
    write(tmp_path, texts={"mol_2.txt": b"a", "mol_10.txt": b"b"})
    with pytest.raises(ValueError, match=r"has 3 records, but .*text has 2 files with a CID; both must have the same"):
        list(GEOMETRIES.read_records(tmp_path))


def test_a_missing_key_costs_its_record(tmp_path):
    values = {str(place): pickle.dumps(record) for place, record in zip((0, 1, 7), RECORDS.values())}
    raws = list(GEOMETRIES.read_records(write(tmp_path, values)))
    assert GEOMETRIES.parse_geometry(raws[0]).geometry_id == "2"
    with pytest.raises(RecordError, match="1001: the LMDB file has no record with its key"):
        GEOMETRIES.parse_geometry(raws[2])


def test_a_truncated_or_damaged_file_is_refused(tmp_path):
    values = {str(place): pickle.dumps(RECORDS[2] | {"x": "y" * 9000}) for place in range(3)}
    file = write(tmp_path, values) / "unimol_mol.lmdb"
    content = file.read_bytes()
    assert len(list(GEOMETRIES.read_records(tmp_path))) == 3
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"lmdb: truncated LMDB file \(.* bytes; its header says .*fetch it"):
        list(GEOMETRIES.read_records(tmp_path))
    damaged = bytearray(content)
    damaged[2 * 4096 :] = b"\xff" * (len(content) - 2 * 4096)
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"unimol_mol\.lmdb: broken LMDB file .*; fetch it again"):
        list(GEOMETRIES.read_records(tmp_path))


def test_conformers_may_be_one_array(tmp_path):
    record = RECORDS[2] | {"coordinates": np.stack(RECORDS[2]["coordinates"])}
    geometry = GEOMETRIES.parse_geometry({"record_id": "2", "cid": 2, "content": pickle.dumps(record)})
    np.testing.assert_array_equal(geometry.positions, record["coordinates"])


class Hostile:
    def __reduce__(self):
        return os.system, ("touch was_executed",)


ETHANOL = RECORDS[2]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Hostile(), "holds more than plain data"),
        (ETHANOL | {"atoms": [Hostile()]}, "holds more than plain data"),
        (["smi"], "its record lacks smi, atoms or coordinates"),
        (ETHANOL | {"coordinates": []}, "its record lacks smi, atoms or coordinates"),
        (ETHANOL | {"smi": None}, "its record lacks smi, atoms or coordinates"),
        (ETHANOL | {"atoms": ETHANOL["atoms"][:-1]}, "numbers of atoms and positions differ"),
        (ETHANOL | {"coordinates": [[0.0, 0.0, 0.0]]}, "numbers of atoms and positions differ"),
        (ETHANOL | {"atoms": ["Xx", *ETHANOL["atoms"][1:]]}, "an atom is not an element"),
        (ETHANOL | {"atoms": [["C"], *ETHANOL["atoms"][1:]]}, "an atom is not an element"),
        (ETHANOL | {"smi": "CCN"}, "its atoms are not those of its SMILES"),
        (ETHANOL | {"smi": "C1CC"}, "RDKit cannot read the SMILES"),
        (ETHANOL | {"coordinates": [np.full((9, 3), np.nan, np.float32)]}, "a coordinate is not finite"),
    ],
)
def test_faulty_records_are_refused(tmp_path, monkeypatch, record, reason):
    monkeypatch.chdir(tmp_path)
    raw = {"record_id": "2", "cid": 2, "content": pickle.dumps(record)}
    with pytest.raises(RecordError, match=f"^2: .*{reason}"):
        GEOMETRIES.parse_geometry(raw)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mol_5.txt", b" \n\n", "its file is empty"),
        ("mol_5.txt", b"caf\xe9", "it is not text in UTF-8"),
        ("mol_x.txt", b"a text", r"its file name does not end in _<CID>\.txt"),
        (f"mol_{2**63}.txt", b"a text", r"its file name does not end in _<CID>\.txt"),
    ],
)
def test_faulty_texts_are_refused(tmp_path, name, content, reason):
    (raw,) = TEXTS.read_records(write(tmp_path, {}, {name: content}))
    with pytest.raises(RecordError, match=reason):
        TEXTS.parse_texts(raw)


def test_two_files_of_a_cid_are_refused(tmp_path):
    write(tmp_path, texts={"a_2.txt": b"x", "b_2.txt": b"y"})
    for source in (TEXTS, GEOMETRIES):
        with pytest.raises(ValueError, match="several files of CID 2; remove all but one"):
            list(source.read_records(tmp_path))


def test_a_folder_without_its_files_is_refused(tmp_path):
    for source, missing in ((TEXTS, r"text/\*\.txt"), (GEOMETRIES, r"unimol_mol\.lmdb")):
        with pytest.raises(
            FileNotFoundError, match=f"has no {missing}; set path to the folder pretrain, valid or test"
        ):
            list(source.read_records(tmp_path))


def test_a_broken_lmdb_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "unimol_mol.lmdb").write_bytes(b"no lmdb" * 1000)
    with pytest.raises(ValueError, match=r"unimol_mol\.lmdb: broken LMDB file"):
        list(GEOMETRIES.read_records(tmp_path))
