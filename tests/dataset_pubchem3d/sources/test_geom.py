import gzip
import io
import pickle
import tarfile
import tracemalloc

import msgpack
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources.geom import GEOM

HARTREE = 27.211386245988  # eV, CODATA 2018
SMILES = ["CCO", "C[C@H](N)C(=O)O", "c1ccncc1"]
SOURCE = GEOM()


def make_conformer(smiles: str, seed: int, energy: float) -> dict:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=seed) == 0
    numbers = [float(atom.GetAtomicNum()) for atom in mol.GetAtoms()]
    xyz = [[number, *place] for number, place in zip(numbers, mol.GetConformer().GetPositions().tolist())]
    return {"xyz": xyz, "geom_id": seed, "degeneracy": 1, "totalenergy": energy, "relativeenergy": 0.0}


def make_entry(smiles: str, energies=(-11.38, -11.39, -11.37)) -> dict:
    """An entry with the keys of the real files; its conformers are not sorted by energy."""
    conformers = [make_conformer(smiles, seed, energy) for seed, energy in enumerate(energies, start=1)]
    return {"totalconfs": 9, "lowestenergy": min(energies), "charge": 0, "datasets": ["x"], "conformers": conformers}


ENTRIES = {smiles: make_entry(smiles) for smiles in SMILES}
MAPS = [dict(list(ENTRIES.items())[:2]), dict(list(ENTRIES.items())[2:])]  # a file is a sequence of maps


def pack(maps=MAPS) -> bytes:
    return b"".join(msgpack.packb(one) for one in maps)


def tarred(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in (("README", b"read"), ("drugs_crude.msgpack", content)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


PACKINGS = {"a.msgpack": bytes, "a.msgpack.gz": gzip.compress, "drugs_crude.msgpack.tar.gz": tarred}


@pytest.mark.parametrize("name", PACKINGS)
def test_the_conformers_of_every_entry_of_every_map(tmp_path, name):
    (tmp_path / name).write_bytes(PACKINGS[name](pack()))
    raws = [pickle.loads(pickle.dumps(raw)) for raw in SOURCE.read_records(tmp_path)]
    assert [raw["smiles"] for raw in raws] == SMILES
    assert [raw["record_id"] for raw in raws] == [f"{name}:{place}" for place in range(3)]
    for raw, entry in zip(raws, ENTRIES.values(), strict=True):
        assert SOURCE.identify(raw) == Identity(None, Chem.MolToInchiKey(Chem.MolFromSmiles(raw["smiles"])))
        geometry = SOURCE.parse_geometry(raw)
        expected = [entry["conformers"][place] for place in (1, 0, 2)]  # by energy
        tables = np.array([conformer["xyz"] for conformer in expected])
        assert geometry.atomic_numbers.tolist() == tables[0, :, 0].tolist()
        np.testing.assert_allclose(geometry.positions, tables[:, :, 1:], atol=1e-5)
        np.testing.assert_allclose(geometry.energies, np.array([-11.39, -11.38, -11.37]) * HARTREE, rtol=1e-9)


def test_the_lowest_conformers_are_read(tmp_path):
    (tmp_path / "a.msgpack").write_bytes(pack())
    (raw, *_) = GEOM(num_conformers=1).read_records(tmp_path)
    assert [conformer["totalenergy"] for conformer in raw["conformers"]] == [-11.39]


def test_energies_that_are_not_finite_do_not_count(tmp_path):
    entry = make_entry("CCO", (-1.0, float("nan"), -3.0, float("-inf")))
    (tmp_path / "a.msgpack").write_bytes(pack([{"CCO": entry}]))
    (raw,) = GEOM(num_conformers=1).read_records(tmp_path)
    assert [conformer["totalenergy"] for conformer in raw["conformers"]] == [-3.0]


def test_a_smiles_that_is_not_utf_8_costs_its_entry(tmp_path):
    content = pack().replace(b"c1ccncc1", b"c1ccnc\xe91")
    (tmp_path / "a.msgpack").write_bytes(content)
    raws = list(SOURCE.read_records(tmp_path))
    assert [raw["smiles"] for raw in raws[:2]] == SMILES[:2]
    with pytest.raises(RecordError, match=r"a\.msgpack:2: "):
        SOURCE.identify(raws[2])


def test_a_large_map_is_read_entry_by_entry(tmp_path):
    """One map of 120 MB, whose objects would take several times as much."""
    entry = msgpack.packb(make_entry("CCO", energies=[-1.0] * 4))
    number = 120_000_000 // len(entry)
    with (tmp_path / "a.msgpack").open("wb") as file:
        file.write(msgpack.Packer().pack_map_header(number))
        for place in range(number):
            file.write(msgpack.packb("C" * (1 + place % 50)) + entry)
    records = SOURCE.read_records(tmp_path)
    tracemalloc.start()
    assert sum(1 for _, _ in zip(range(2000), records)) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000


def test_truncated_and_foreign_files_are_named(tmp_path):
    list_as_key = b"\x81\xa1C\x81\x91\x01\x02"
    contents = (pack()[:-7], pack()[:5], pack() + b"\xde", b"\xc1" + pack(), msgpack.packb([1, 2]), b"{}", list_as_key)
    for content in contents:
        (tmp_path / "a.msgpack").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.msgpack: truncated or broken MessagePack file"):
            list(SOURCE.read_records(tmp_path))
    (tmp_path / "a.msgpack").unlink()
    (tmp_path / "b.msgpack.tar.gz").write_bytes(tarred(pack())[:-300])
    with pytest.raises(ValueError, match=r"b\.msgpack\.tar\.gz: truncated or broken"):
        list(SOURCE.read_records(tmp_path))
    (tmp_path / "b.msgpack.tar.gz").unlink()
    (tmp_path / "c.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"has no files in \.msgpack\.tar\.gz"):
        list(SOURCE.read_records(tmp_path))


def changed(**changes) -> dict:
    return {"record_id": "a:0", "smiles": "CCO", "conformers": [make_conformer("CCO", 1, -1.0) | changes]}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"record_id": "a:0", "smiles": "CCO", "conformers": []}, "it has no conformers with an energy"),
        ({"record_id": "a:0", "smiles": "CCO", "conformers": None}, "it has no conformers with an energy"),
        (changed(xyz=[[6.0, 0.0, 0.0]]), "a conformer is not a table of Z, x, y and z"),
        (changed(xyz=[["C", 0.0, 0.0, 0.0]]), "a conformer lacks numbers"),
        (changed(xyz=None), "a conformer is not a table of Z, x, y and z"),
        (changed(xyz=[[6.5, 0.0, 0.0, 0.0]]), "an atomic number is not whole"),
        (changed(totalenergy=float("nan")), "energies are not one finite number per conformer"),
        (changed(xyz=[[6.0, 0.0, 0.0, 0.0], [6.0, 0.0, 0.0, 0.0]]), "all of its atoms are at the same position"),
    ],
)
def test_faulty_entries_are_refused(raw, reason):
    with pytest.raises(RecordError, match=reason):
        SOURCE.parse_geometry(raw)


def test_conformers_of_different_molecules_are_refused():
    raw = changed()
    raw["conformers"].append(make_conformer("OCC", 1, -1.0))
    with pytest.raises(RecordError, match="its conformers differ in their atoms or atom order"):
        SOURCE.parse_geometry(raw)


def test_a_molecule_that_has_reacted_is_refused():
    """The atoms of propan-2-ol in the bonds of propan-1-ol, beside a conformer of the SMILES itself."""
    own, reacted = make_conformer("CC(C)O", 1, -1.0), make_conformer("CCCO", 1, -1.1)
    order = [own["xyz"][place][0] for place in range(len(own["xyz"]))]
    assert sorted(order) == sorted(row[0] for row in reacted["xyz"])
    reacted["xyz"].sort(key=lambda row: order.index(row[0]))
    own["xyz"].sort(key=lambda row: order.index(row[0]))
    raw = {"record_id": "a:0", "smiles": "CC(C)O", "conformers": [own]}
    assert len(SOURCE.parse_geometry(raw).positions) == 1
    raw["conformers"].append(reacted)
    with pytest.raises(RecordError, match=r"conformer is of another molecule than its SMILES.*1: they show the bonds"):
        SOURCE.parse_geometry(raw)


def test_entries_without_conformers_or_smiles_are_refused(tmp_path):
    (tmp_path / "a.msgpack").write_bytes(pack([{"CCO": {"charge": 0}, "C": 5, 7: make_entry("C"), "C1CC": {}}]))
    raws = list(SOURCE.read_records(tmp_path))
    assert [raw["conformers"] is None for raw in raws] == [True, True, False, True]
    with pytest.raises(RecordError, match="its key is not a SMILES"):
        SOURCE.identify(raws[2])
    with pytest.raises(RecordError):
        SOURCE.identify(raws[3])


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="unknown part 'x'; choose one of"):
        GEOM(part="x")
    with pytest.raises(ValueError, match="num_conformers=0; it must be at least 1"):
        GEOM(num_conformers=0)


def test_the_archive_is_fetched_once(tmp_path):
    class Client:
        def download(self, url, path):
            fetched.append((url, path))

    fetched = []
    GEOM(part="qm9").fetch(Client(), tmp_path)
    GEOM(path="elsewhere").fetch(Client(), tmp_path)
    assert fetched == [
        ("https://dataverse.harvard.edu/api/access/datafile/4327190", tmp_path / "qm9_crude.msgpack.tar.gz")
    ]
    assert GEOM(part="qm9").raw_name != GEOM().raw_name
