import gzip
import pickle

import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_sdf import PubChemSDF

FIRST, SECOND = "Compound_000000001_000500000.sdf.gz", "Compound_000500001_001000000.sdf.gz"
ALANINE = "C[C@@H](C(=O)O)N"
MOLECULES = {702: "CCO", 962: "O", 5950: ALANINE, 500_001: "CC(=O)[O-].[Na+]"}
NEW_TAGS = ("PUBCHEM_SMILES", "PUBCHEM_CONNECTIVITY_SMILES")
OLD_TAGS = ("PUBCHEM_OPENEYE_ISO_SMILES", "PUBCHEM_OPENEYE_CAN_SMILES")


def record(cid, smiles="CCO", title=None, smiles_tags=NEW_TAGS, **tags):
    """A record as text: a mol block, then the tags, except those of None."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    block = Chem.MolToMolBlock(mol).split("\n", 1)[1]
    inchi = Chem.MolToInchi(mol)
    flat = Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)
    tags = {
        "PUBCHEM_COMPOUND_CID": cid,
        "PUBCHEM_IUPAC_INCHI": inchi,
        "PUBCHEM_IUPAC_INCHIKEY": Chem.InchiToInchiKey(inchi),
        **dict(zip(smiles_tags, (smiles, flat), strict=True)),
        **tags,
    }
    items = "".join(f"> <{name}>\n{value}\n\n" for name, value in tags.items() if value is not None)
    return f"{cid if title is None else title}\n{block}{items}$$$$\n"


def write(file, *records):
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(records)
    return file


def array(*cids):
    return np.array(cids, dtype=np.int64)


def compounds(folder, *cids):
    source = PubChemSDF()
    raw_records = source.read_records(folder, array(*cids))
    return [source.parse_compound(pickle.loads(pickle.dumps(raw))) for raw in raw_records]


def only_compound(tmp_path, *arguments, **tags):
    return compounds(write(tmp_path / FIRST, record(*arguments, **tags)), arguments[0])[0]


def test_compounds_of_all_files_come_in_order(tmp_path):
    *first, second = (record(cid, smiles) for cid, smiles in MOLECULES.items())
    write(tmp_path / SECOND, second)
    write(tmp_path / FIRST, *first)
    found = compounds(tmp_path, *MOLECULES)
    assert [compound.cid for compound in found] == list(MOLECULES)
    for compound, smiles in zip(found, MOLECULES.values(), strict=True):
        mol = Chem.MolFromSmiles(smiles)
        assert (compound.inchi, compound.inchikey) == (Chem.MolToInchi(mol), Chem.MolToInchiKey(mol))
        assert compound.smiles == Chem.MolToSmiles(mol)


def test_only_the_requested_cids_are_read(tmp_path):
    write(tmp_path / FIRST, *(record(cid) for cid in (5, 6, 7)))
    assert [compound.cid for compound in compounds(tmp_path, 1, 6, 8)] == [6]


def test_files_without_requested_cids_in_their_range_are_not_opened(tmp_path):
    write(tmp_path / FIRST, record(500_000))
    (tmp_path / SECOND).write_bytes(b"no gzip file")
    assert [compound.cid for compound in compounds(tmp_path, 500_000)] == [500_000]
    with pytest.raises((OSError, ValueError)):
        compounds(tmp_path, 500_001)


@pytest.mark.parametrize("smiles_tags", [NEW_TAGS, OLD_TAGS], ids=["new", "old"])
def test_the_smiles_with_stereo_is_preferred_under_old_and_new_names(tmp_path, smiles_tags):
    compound = only_compound(tmp_path, 5950, ALANINE, smiles_tags=smiles_tags)
    assert compound.smiles == Chem.CanonSmiles(ALANINE)


@pytest.mark.parametrize("tags", [NEW_TAGS, OLD_TAGS], ids=["new", "old"])
def test_a_smiles_without_stereo_is_sufficient(tmp_path, tags):
    compound = only_compound(tmp_path, 5950, ALANINE, smiles_tags=tags, **{tags[0]: None})
    assert compound.smiles == Chem.CanonSmiles("CC(C(=O)O)N")
    assert compound.inchikey == "QNAYBMKLOCPYGJ-REOHCLBHSA-N"


@pytest.mark.parametrize("title", ["702", "000000702", "", "an ethanol"])
def test_the_cid_comes_from_the_title_line_or_the_tag(tmp_path, title):
    assert only_compound(tmp_path, 702, title=title).cid == 702


def test_a_zero_padded_tag_equals_the_title_line(tmp_path):
    assert only_compound(tmp_path, 702, PUBCHEM_COMPOUND_CID="000000702").cid == 702


def test_a_title_line_with_another_cid_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"702: the title line and PUBCHEM_COMPOUND_CID differ \(703\)"):
        only_compound(tmp_path, 702, PUBCHEM_COMPOUND_CID="703")


def test_a_record_without_a_cid_is_an_error(tmp_path):
    write(tmp_path / FIRST, record(1), record(2, title="water", PUBCHEM_COMPOUND_CID=None))
    with pytest.raises(ValueError, match=rf"{FIRST}, record 2: neither its title line \('water'\) nor"):
        compounds(tmp_path, 1, 2)


def test_the_traditional_name_is_the_title_and_the_other_names_are_synonyms(tmp_path):
    names = {"TRADITIONAL_NAME": "ethanol", "NAME": "ethanol", "CAS_NAME": "ethyl alcohol", "OPENEYE_NAME": "ethanol"}
    tags = {f"PUBCHEM_IUPAC_{kind}": name for kind, name in names.items()}
    compound = only_compound(tmp_path, 702, **tags, PUBCHEM_IUPAC_NAME_MARKUP="<I>ethanol</I>")
    assert (compound.title, compound.synonyms) == ("ethanol", ("ethyl alcohol",))


def test_a_record_without_a_traditional_name_has_its_iupac_name_as_title(tmp_path):
    assert only_compound(tmp_path, 702, PUBCHEM_IUPAC_NAME="ethanol").title == "ethanol"
    assert only_compound(tmp_path, 702).title == ""


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (dict.fromkeys(NEW_TAGS), "the record has no SMILES"),
        ({"PUBCHEM_IUPAC_INCHIKEY": None}, "the record has no InChIKey"),
        ({"PUBCHEM_SMILES": "COC"}, "the SMILES and the InChIKey of the record differ"),
        ({"PUBCHEM_SMILES": "C1CC"}, "RDKit cannot read the SMILES"),
    ],
)
def test_records_that_cannot_be_used_are_refused(tmp_path, tags, reason):
    with pytest.raises(RecordError, match=f"702: {reason}"):
        only_compound(tmp_path, 702, **tags)


@pytest.mark.parametrize("cids", [(7, 5), (7, 7)], ids=["descending", "twice"])
def test_records_out_of_order_are_an_error(tmp_path, cids):
    write(tmp_path / FIRST, *map(record, cids))
    with pytest.raises(ValueError, match=rf"{FIRST}, record 2: CID {cids[1]} after 7; CIDs must ascend"):
        compounds(tmp_path, 1, 7)


def test_a_truncated_file_is_an_error(tmp_path):
    file = write(tmp_path / FIRST, *(record(cid, "C" * (cid % 7 + 1)) for cid in range(1, 50)))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=FIRST):
        compounds(tmp_path, *range(1, 50))


def test_a_folder_without_sdf_files_is_an_error(tmp_path):
    (tmp_path / f"{FIRST}.md5").write_text("0" * 32)
    with pytest.raises(FileNotFoundError, match=r"has no Compound_\*\.sdf\.gz"):
        compounds(tmp_path, 1)


def test_a_single_file_with_any_name_is_read(tmp_path):
    assert [compound.cid for compound in compounds(write(tmp_path / "some.sdf.gz", record(5)), 5)] == [5]


class Server:
    """A client of files without checksums."""

    def __init__(self):
        self.asked = []

    def download(self, url, path, md5=None):
        if url.endswith(".md5"):
            raise FetchError(url, "not found", 404)
        self.asked.append(url)
        path.write_text(url)


def test_the_listed_files_are_downloaded(tmp_path):
    server = Server()
    PubChemSDF(downloads=(FIRST, SECOND)).fetch(server, tmp_path, array(1))
    base = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/CURRENT-Full/SDF/"
    assert server.asked == [base + FIRST, base + SECOND]
    assert PubChemSDF().list_files(tmp_path) == [tmp_path / FIRST, tmp_path / SECOND]


def test_nothing_is_downloaded_if_a_path_is_given(tmp_path):
    server = Server()
    PubChemSDF(path=str(tmp_path), downloads=(FIRST,)).fetch(server, tmp_path, array(1))
    assert server.asked == []


def test_neither_files_to_download_nor_a_path_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="neither downloads nor path"):
        PubChemSDF().fetch(Server(), tmp_path, array(1))
