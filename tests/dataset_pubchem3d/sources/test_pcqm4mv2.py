import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources import pcqm4mv2
from dataset_pubchem3d.sources.pcqm4mv2 import PCQM4Mv2

SMILES = ["O=C1[N]c2ccccc2C1", "CCO", "C[C@H](N)C(=O)O", "c1ccncc1"]
SOURCE = PCQM4Mv2()


def make_conformer(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


MOLS = [make_conformer(smiles) for smiles in SMILES]
RECORDS = [Chem.MolToMolBlock(mol) for mol in MOLS]


def tarred(content: bytes, name: str = "pcqm4m-v2-train.sdf") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        readme = tarfile.TarInfo("README")
        readme.size = 4
        archive.addfile(readme, io.BytesIO(b"read"))
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def write(folder, records=RECORDS, smiles=SMILES, name="pcqm4m-v2-train.sdf.tar.gz", columns="idx,smiles,homolumogap"):
    sdf = "".join(f"{record}$$$$\n" for record in records).encode()
    packed = {".tar.gz": tarred, ".sdf.gz": gzip.compress, ".sdf": bytes}
    pack = next(pack for ending, pack in packed.items() if name.endswith(ending))
    (folder / name).write_bytes(pack(sdf))
    rows = "".join(f"{i},{one},4.5\n" for i, one in enumerate(smiles))
    (folder / "data.csv.gz").write_bytes(gzip.compress(f"{columns}\n{rows}".encode()))


@pytest.mark.parametrize("name", ["pcqm4m-v2-train.sdf.tar.gz", "a.sdf.gz", "a.sdf"])
def test_record_i_is_row_i(tmp_path, name):
    write(tmp_path, name=name)
    raws = [pickle.loads(pickle.dumps(raw)) for raw in SOURCE.read_records(tmp_path)]
    assert len(raws) == len(SMILES)
    for i, (raw, mol) in enumerate(zip(raws, MOLS, strict=True)):
        assert SOURCE.identify(raw) == Identity(None, Chem.MolToInchiKey(Chem.MolFromSmiles(SMILES[i])))
        geometry = SOURCE.parse_geometry(raw)
        assert geometry.geometry_id == str(i)
        assert geometry.atomic_numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        assert np.abs(geometry.positions[0] - mol.GetConformer().GetPositions()).max() < 1e-4


def test_a_known_identity():
    assert SOURCE.identify({"idx": "1", "smiles": "CCO", "sdf": ""}).inchikey == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"


def test_rows_without_a_record_are_not_an_error(tmp_path):
    write(tmp_path, records=RECORDS[:2])
    assert [raw["smiles"] for raw in SOURCE.read_records(tmp_path)] == SMILES[:2]


def test_records_without_a_row_are_an_error(tmp_path):
    write(tmp_path, smiles=SMILES[:3])
    with pytest.raises(ValueError, match=r"data\.csv\.gz: has only 3 rows, but .*sdf\.tar\.gz has more records"):
        list(SOURCE.read_records(tmp_path))


def test_a_record_that_differs_from_its_row_is_refused(tmp_path):
    write(tmp_path, smiles=[*SMILES[:3], "c1ccccc1"])
    *good, wrong = SOURCE.read_records(tmp_path)
    assert len([SOURCE.parse_geometry(raw) for raw in good]) == 3
    with pytest.raises(RecordError) as refused:
        SOURCE.parse_geometry(wrong)
    assert (refused.value.record_id, refused.value.reason) == ("3", "record and row differ in their heavy atoms")


def test_hydrogens_are_ignored_when_record_and_row_are_compared():
    geometry = SOURCE.parse_geometry({"idx": "1", "smiles": "[H]OC([H])([H])C", "sdf": RECORDS[1]})
    assert (geometry.atomic_numbers == 1).sum() == 6


@pytest.mark.parametrize("smiles", [SMILES[1:] + SMILES[:1], ["C(C"] * 4])
def test_files_that_do_not_belong_together_are_an_error_before_the_first_record(tmp_path, smiles):
    write(tmp_path, smiles=smiles)
    with pytest.raises(ValueError, match=r"only 0 of its first 4 records .*do not belong together"):
        next(SOURCE.read_records(tmp_path))


def test_misaligned_files_are_detected_even_if_neighbours_share_a_formula(tmp_path):
    smiles = ["CCO", "COC", "CCN", "c1ccncc1"]
    write(tmp_path, records=[Chem.MolToMolBlock(make_conformer(one)) for one in smiles], smiles=[*smiles[1:], "C"])
    with pytest.raises(ValueError, match="only 1 of its first 4 records"):
        next(SOURCE.read_records(tmp_path))


def test_only_the_compared_records_are_read_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(pcqm4mv2, "FIRST_RECORDS", 2)
    write(tmp_path, smiles=SMILES[:3])
    records = SOURCE.read_records(tmp_path)
    assert [next(records)["idx"] for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="more records"):
        next(records)


def test_a_bad_smiles_is_refused():
    with pytest.raises(RecordError, match="9: RDKit cannot read the SMILES"):
        SOURCE.identify({"idx": "9", "smiles": "C(C", "sdf": RECORDS[0]})


@pytest.mark.parametrize("name", ["pcqm4m-v2-train.sdf.tar.gz", "a.sdf.gz", "a.sdf", "data.csv.gz"])
def test_a_truncated_file_is_named(tmp_path, name):
    write(tmp_path, name="a.sdf" if name == "data.csv.gz" else name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])
    with pytest.raises(ValueError, match=rf"{name}.*truncated.*fetch it again"):
        list(SOURCE.read_records(tmp_path))


def test_an_archive_cut_within_its_member_is_named(tmp_path):
    write(tmp_path)
    plain = gzip.decompress((tmp_path / "pcqm4m-v2-train.sdf.tar.gz").read_bytes())
    (tmp_path / "pcqm4m-v2-train.sdf.tar.gz").write_bytes(gzip.compress(plain[:3000]))
    with pytest.raises(ValueError, match=r"train\.sdf\.tar\.gz.*truncated.*fetch it again"):
        list(SOURCE.read_records(tmp_path))


def test_a_missing_column_is_named(tmp_path):
    write(tmp_path, columns="idx,SMI,homolumogap")
    with pytest.raises(ValueError, match=r"data\.csv\.gz.*no column smiles among \['idx', 'SMI', 'homolumogap'\]"):
        next(SOURCE.read_records(tmp_path))


def test_exactly_one_of_each_file_is_needed(tmp_path):
    write(tmp_path)
    assert [file.name for file in SOURCE.list_files(tmp_path)] == ["pcqm4m-v2-train.sdf.tar.gz", "data.csv.gz"]
    (tmp_path / "pcqm4m-v2-train.sdf").touch()
    with pytest.raises(ValueError, match="keep only one of them"):
        SOURCE.list_files(tmp_path)
    (tmp_path / "data.csv.gz").rename(tmp_path / "table.csv.gz")
    (tmp_path / "pcqm4m-v2-train.sdf").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data\.csv\.gz"):
        SOURCE.list_files(tmp_path)


class Client:
    """Serves a zip of the table for every address that ends in .zip."""

    def __init__(self, member: str):
        self.member, self.asked = member, []

    def download(self, url, path, md5=None):
        self.asked.append((url.rpartition("/")[2], path.name, md5))
        if url.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(self.member, gzip.compress(b"idx,smiles,homolumogap\n"))


def test_fetch_leaves_the_sdf_and_the_table(tmp_path):
    client = Client("pcqm4m-v2/raw/data.csv.gz")
    SOURCE.fetch(client, tmp_path)
    sdf = ("pcqm4m-v2-train.sdf.tar.gz", "pcqm4m-v2-train.sdf.tar.gz", "fd72bce606e7ddf36c2a832badeec6ab")
    assert client.asked == [sdf, ("pcqm4m-v2.zip", "pcqm4m-v2.zip", None)]
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv.gz"]
    SOURCE.fetch(client, tmp_path)
    assert client.asked[2:] == [sdf]


def test_a_zip_without_the_table_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"pcqm4m-v2\.zip: no readable pcqm4m-v2/raw/data\.csv\.gz"):
        SOURCE.fetch(Client("elsewhere/data.csv.gz"), tmp_path)
