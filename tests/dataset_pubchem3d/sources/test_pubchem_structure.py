import hashlib

import pytest
from rdkit import Chem

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_structure import (
    PubChemRecord,
    check_compound,
    download_with_checksum,
    select_further_names,
)

MOLECULES = {"water": "O", "ethanol": "CCO", "sodium acetate": "CC(=O)[O-].[Na+]", "L-alanine": "C[C@@H](C(=O)O)N"}


def record(smiles, identified_as=None):
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(identified_as or smiles))
    return PubChemRecord(7, smiles, inchi, Chem.InchiToInchiKey(inchi))


class Server:
    """A client of files by address; it records its requests."""

    def __init__(self, files, status=404):
        self.files, self.status, self.asked = files, status, []

    def download(self, url, path, md5=None):
        self.asked.append((url, md5))
        if url not in self.files:
            raise FetchError(url, "refused", self.status)
        path.write_bytes(self.files[url])


@pytest.mark.parametrize("smiles", MOLECULES.values(), ids=MOLECULES)
def test_a_consistent_record_is_accepted(smiles):
    raw = record(smiles)._replace(title="a title", synonyms=("a name", "another"))
    compound, mol = check_compound(raw), Chem.MolFromSmiles(smiles)
    assert (compound.inchi, compound.inchikey) == (Chem.MolToInchi(mol), Chem.MolToInchiKey(mol))
    assert (compound.smiles, compound.n_heavy) == (Chem.MolToSmiles(mol), mol.GetNumHeavyAtoms())
    assert (compound.cid, compound.title, compound.synonyms) == (7, "a title", ("a name", "another"))
    assert compound.formal_charge == 0


def test_the_charge_comes_from_the_smiles():
    assert check_compound(record("C[N+](C)(C)C")).formal_charge == 1


@pytest.mark.parametrize("identified_as", ["CC(C(=O)O)N", "C[C@H](C(=O)O)N"], ids=["no stereo", "other stereo"])
def test_identifiers_with_other_stereo_outrank_the_smiles(identified_as):
    raw = record(MOLECULES["L-alanine"], identified_as)
    compound = check_compound(raw)
    assert (compound.inchi, compound.inchikey) == (raw.inchi, raw.inchikey)
    assert compound.inchikey != Chem.MolToInchiKey(Chem.MolFromSmiles(compound.smiles))
    assert "@" in compound.smiles


def test_identifiers_of_another_molecule_are_refused():
    with pytest.raises(RecordError) as error:
        check_compound(record("CCO", "COC"))
    assert error.value.record_id == "7"
    assert error.value.reason == "the SMILES and the InChIKey of the record differ"
    assert "CCO, LCGLNKUTAGEVQW-UHFFFAOYSA-N" in error.value.detail


def test_an_inchi_with_another_key_is_refused():
    with pytest.raises(RecordError, match="the InChI and the InChIKey of the record differ"):
        check_compound(record("CCO")._replace(inchikey=record("COC").inchikey))


def test_a_smiles_that_rdkit_cannot_read_is_refused():
    with pytest.raises(RecordError, match="RDKit cannot read the SMILES"):
        check_compound(record("CCO")._replace(smiles="C1CC"))


@pytest.mark.parametrize("identifier", ["SMILES", "InChI", "InChIKey"])
def test_a_missing_identifier_is_named(identifier):
    with pytest.raises(RecordError, match=f"7: the record has no {identifier}$"):
        check_compound(record("CCO")._replace(**{identifier.lower(): ""}))


def test_other_names_are_distinct_and_not_the_title():
    assert select_further_names("Ethanol", ["alcohol", "Ethanol", "", "EtOH", "alcohol"]) == ("alcohol", "EtOH")


def test_a_download_is_verified_by_its_checksum_file(tmp_path):
    md5 = hashlib.md5(b"content").hexdigest()
    server = Server({"http://x/a.gz": b"content", "http://x/a.gz.md5": f"{md5}  a.gz\n".encode()})
    download_with_checksum(server, "http://x/a.gz", tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == b"content"
    assert server.asked == [("http://x/a.gz.md5", None), ("http://x/a.gz", md5)]


def test_a_download_without_a_checksum_file_is_not_verified(tmp_path):
    server = Server({"http://x/a.gz": b"content"})
    download_with_checksum(server, "http://x/a.gz", tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == b"content"
    assert server.asked[-1] == ("http://x/a.gz", None)


def test_an_existing_file_is_not_requested(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"content")
    server = Server({})
    download_with_checksum(server, "http://x/a.gz", tmp_path / "a.gz")
    assert server.asked == []


def test_the_checksum_of_an_earlier_attempt_is_requested_again(tmp_path):
    (tmp_path / "a.gz.md5").write_text("0" * 32)
    server = Server({"http://x/a.gz": b"content", "http://x/a.gz.md5": b"1" * 32})
    server.download = lambda url, path, md5=None: (
        pytest.fail("an old sum was kept") if path.exists() else Server.download(server, url, path, md5)
    )
    download_with_checksum(server, "http://x/a.gz", tmp_path / "a.gz")
    assert server.asked[-1] == ("http://x/a.gz", "1" * 32)


def test_a_refused_checksum_is_an_error(tmp_path):
    with pytest.raises(FetchError, match=r"a\.gz\.md5: refused"):
        download_with_checksum(Server({}, status=503), "http://x/a.gz", tmp_path / "a.gz")
