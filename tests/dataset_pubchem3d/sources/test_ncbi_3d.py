import gzip
import itertools
import pickle

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources import ncbi_3d
from dataset_pubchem3d.sources.ncbi_3d import NCBI3D

SOURCE = NCBI3D()
ENERGY = "PUBCHEM_MMFF94_ENERGY"


def make_conformer(smiles: str, seed: int = 7) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=seed) == 0
    return mol


def record(mol: Chem.Mol, title: str = "702", **tags: str) -> str:
    """A record in NCBI's format, without a SMILES and an InChI."""
    block = Chem.MolToMolBlock(mol).replace("RDKit ", "-OEChem").removeprefix("\n")
    items = {"PUBCHEM_COMPOUND_CID": title, "PUBCHEM_CONFORMER_RMSD": "0.4", **tags}
    return f"{title}\n{block}\n" + "".join(f"> <{name}>\n{value}\n\n" for name, value in items.items())


def write(folder, *records: str, name: str = "00000001_00025000.sdf.gz") -> None:
    (folder / name).write_bytes(gzip.compress("".join(f"{one}$$$$\n" for one in records).encode()))


ETHANOL, ALANINE = make_conformer("CCO"), make_conformer("C[C@H](N)C(=O)O")


def test_a_record_is_identified_by_its_cid_and_keeps_its_coordinates(tmp_path):
    write(tmp_path, record(ETHANOL, "702", **{ENERGY: "-1.3"}), record(ALANINE, "5950", **{ENERGY: "12.9"}))
    ethanol, alanine = (pickle.loads(pickle.dumps(raw)) for raw in SOURCE.read_records(tmp_path))
    assert SOURCE.identify(ethanol) == Identity(702, "LFQSCWFLJHTTHZ-UHFFFAOYSA-N")
    assert SOURCE.identify(alanine) == Identity(
        5950, "QNAYBMKLOCPYGJ-REOHCLBHSA-N"
    )  # with the stereochemistry of the coordinates
    for raw, mol in ((ethanol, ETHANOL), (alanine, ALANINE)):
        geometry = SOURCE.parse_geometry(raw)
        assert geometry.geometry_id == raw["record_id"]
        assert geometry.atomic_numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        assert np.abs(geometry.positions[0] - mol.GetConformer().GetPositions()).max() < 1e-4
        assert geometry.energies is None  # their unit is unknown


@pytest.mark.parametrize(("title", "tag"), [("702", "702"), ("000000702", "702"), ("", "702"), ("ethanol", "702")])
def test_the_cid_is_read_from_the_title_or_the_tag(tmp_path, title, tag):
    write(tmp_path, record(ETHANOL, title, PUBCHEM_COMPOUND_CID=tag))
    (raw,) = SOURCE.read_records(tmp_path)
    assert SOURCE.identify(raw).cid == 702


def test_a_title_alone_is_enough(tmp_path):
    write(tmp_path, "702" + Chem.MolToMolBlock(ETHANOL))
    assert SOURCE.identify(next(SOURCE.read_records(tmp_path))).cid == 702


@pytest.mark.parametrize(
    ("title", "tag", "reason"),
    [
        ("702", "703", "the CIDs of its title and its tag differ"),
        ("", "", "neither its title nor its tag is a CID"),
        ("0", "0", "neither its title nor its tag is a CID"),
        ("", "ethanol", "neither its title nor its tag is a CID"),
    ],
)
def test_a_record_without_a_clear_cid_is_refused(tmp_path, title, tag, reason):
    write(tmp_path, record(ETHANOL, title, PUBCHEM_COMPOUND_CID=tag))
    with pytest.raises(RecordError) as refused:
        SOURCE.identify(next(SOURCE.read_records(tmp_path)))
    assert refused.value.reason == reason


def test_each_record_without_a_cid_is_refused_by_its_place(tmp_path):
    write(tmp_path, record(ETHANOL, ""), record(ETHANOL, ""))
    places = [raw["record_id"] for raw in SOURCE.read_records(tmp_path)]
    assert places == ["00000001_00025000.sdf.gz:0", "00000001_00025000.sdf.gz:1"]


def test_a_structure_that_rdkit_refuses_has_a_cid_and_a_geometry_but_no_inchikey(tmp_path):
    block = Chem.MolToMolBlock(ETHANOL).replace("  1  2  1  0", "  1  2  3  0")
    assert Chem.MolFromMolBlock(block) is None
    write(tmp_path, f"702{block}")
    raw = next(SOURCE.read_records(tmp_path))
    assert SOURCE.identify(raw) == Identity(702, None)
    assert SOURCE.parse_geometry(raw).positions.shape == (1, 9, 3)


# ----------------------------------------------------------------------------------------------------------- conformers


def conformers(*energies: str) -> tuple[list[Chem.Mol], list[str]]:
    mols = [make_conformer("CCO", seed) for seed in range(1, len(energies) + 1)]
    return mols, [record(mol, **{ENERGY: energy}) for mol, energy in zip(mols, energies, strict=True)]


def test_records_of_one_cid_are_conformers_in_ascending_order_of_energy(tmp_path):
    mols, records = conformers("3.5", "-1.25", "10")
    write(tmp_path, record(ALANINE, "5950"), *records, record(ALANINE, "5951"))
    before, raw, after = SOURCE.read_records(tmp_path)
    assert [before["record_id"], raw["record_id"], after["record_id"]] == ["5950", "702", "5951"]
    geometry = SOURCE.parse_geometry(raw)
    assert geometry.positions.shape == (3, 9, 3)
    for i, written in enumerate((1, 0, 2)):
        assert np.abs(geometry.positions[i] - mols[written].GetConformer().GetPositions()).max() < 1e-4
    assert geometry.energies is None


def test_conformers_in_another_atom_order_are_refused(tmp_path):
    mols, (first, _) = conformers("1", "2")
    other = Chem.RenumberAtoms(mols[1], [2, 1, 0, 3, 4, 5, 6, 7, 8])
    write(tmp_path, first, record(other, **{ENERGY: "2"}))
    with pytest.raises(RecordError, match="702: its conformers differ in their atoms or atom order"):
        SOURCE.parse_geometry(next(SOURCE.read_records(tmp_path)))


@pytest.mark.parametrize("energy", ["", "low"])
def test_conformers_that_cannot_be_sorted_are_refused(tmp_path, energy):
    write(tmp_path, *conformers("1", energy)[1])
    with pytest.raises(RecordError, match=f"702: a conformer has no {ENERGY}"):
        SOURCE.parse_geometry(next(SOURCE.read_records(tmp_path)))


def test_molecules_are_grouped_one_at_a_time(monkeypatch, tmp_path):
    write(tmp_path)
    endless = (record(ETHANOL, str(1 + i // 2)) for i in itertools.count())
    monkeypatch.setattr(ncbi_3d, "read_sdf", lambda file: endless)
    first = list(itertools.islice(SOURCE.read_records(tmp_path), 3))
    assert [(raw["record_id"], len(raw["sdf"])) for raw in first] == [("1", 2), ("2", 2), ("3", 2)]
    assert next(endless).startswith("4\n")  # the first record of the next molecule was read to find the end of this one


# ---------------------------------------------------------------------------------------------------------------- files


def test_files_are_read_in_order_and_others_are_ignored(tmp_path):
    write(tmp_path, record(ALANINE, "25001"), name="00025001_00050000.sdf.gz")
    write(tmp_path, record(ETHANOL, "702"))
    (tmp_path / "00000001_00025000.sdf.gz.md5").touch()
    assert [raw["record_id"] for raw in SOURCE.read_records(tmp_path)] == ["702", "25001"]


def test_a_folder_without_sdf_is_named(tmp_path):
    (tmp_path / "README").touch()
    with pytest.raises(FileNotFoundError, match=r"ncbi_3d.*has no files in \.sdf"):
        SOURCE.list_files(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    write(tmp_path, *conformers("1", "2")[1])
    file = tmp_path / "00000001_00025000.sdf.gz"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"00000001_00025000\.sdf\.gz.*truncated.*fetch it again"):
        list(SOURCE.read_records(tmp_path))


class Client:
    def __init__(self):
        self.asked = []

    def download(self, url, path, md5=None):
        self.asked.append((url, path))
        if url.endswith(".md5"):
            path.write_text("0123  a.sdf.gz\n")


def test_fetch_requests_the_files_of_the_recipe(tmp_path):
    client = Client()
    NCBI3D(collection="10_conf_per_cmpd", sdf_files=("a.sdf.gz",)).fetch(client, tmp_path)
    url = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound_3D/10_conf_per_cmpd/SDF/a.sdf.gz"
    assert (url, tmp_path / "a.sdf.gz") in client.asked


def test_fetch_without_files_names_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"sdf_files is empty; name files of https://ftp\.ncbi"):
        SOURCE.fetch(Client(), tmp_path)
