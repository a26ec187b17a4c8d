import gzip
import pickle
import random

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources import pubchem_extras
from dataset_pubchem3d.sources.pubchem_extras import (
    INCHIKEYS,
    SMILES,
    SYNONYMS,
    TITLES,
    PubChemExtras,
    read_wanted_lines,
)

WATER, ETHANOL, SALT, ALANINE = 90, 702, 4400, 12000
MOLECULES = {WATER: "O", ETHANOL: "CCO", SALT: "CC(=O)[O-].[Na+]", ALANINE: "C[C@@H](C(=O)O)N"}
NAMES = {
    TITLES: [(WATER, "Water"), (ETHANOL, "Ethanol"), (ALANINE, "L-Alanine")],
    SYNONYMS: [(ETHANOL, "ethyl alcohol"), (ETHANOL, "Ethanol"), (ETHANOL, "EtOH"), (ALANINE, "Ala")],
}


def array(*cids):
    return np.array(cids, dtype=np.int64)


def identifiers(smiles):
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    return inchi, Chem.InchiToInchiKey(inchi)


def write(file, rows):
    with gzip.open(file, "wb") as out:
        for row in rows:
            out.write("\t".join(map(str, row)).encode() + b"\n")


@pytest.fixture
def tables(tmp_path):
    """Folder of the four tables, with four molecules."""
    write(tmp_path / INCHIKEYS, [(cid, *identifiers(smiles)) for cid, smiles in MOLECULES.items()])
    write(tmp_path / SMILES, MOLECULES.items())
    for table, rows in NAMES.items():
        write(tmp_path / table, rows)
    return tmp_path


def records(folder, *cids, **options):
    return list(PubChemExtras(**options).read_records(folder, array(*cids)))


def test_all_compounds_come_in_order_with_their_identifiers(tables):
    source = PubChemExtras()
    compounds = [source.parse_compound(pickle.loads(pickle.dumps(raw))) for raw in records(tables, *MOLECULES)]
    assert [compound.cid for compound in compounds] == list(MOLECULES)
    for compound, smiles in zip(compounds, MOLECULES.values(), strict=True):
        assert (compound.inchi, compound.inchikey) == identifiers(smiles)
        assert compound.smiles == Chem.CanonSmiles(smiles)
    assert [compound.title for compound in compounds] == ["Water", "Ethanol", "", "L-Alanine"]
    assert [compound.synonyms for compound in compounds] == [(), ("ethyl alcohol", "EtOH"), (), ("Ala",)]


def test_only_the_requested_cids_are_read(tables):
    assert [raw.cid for raw in records(tables, 1, ETHANOL, 703, 99999)] == [ETHANOL]
    assert records(tables) == []


def test_a_cid_without_an_inchikey_is_skipped(tables):
    write(tables / SMILES, [(5, "C"), *MOLECULES.items()])
    write(tables / TITLES, [(5, "Methane")])
    assert [raw.cid for raw in records(tables, 5, WATER)] == [WATER]


def test_a_cid_without_a_smiles_is_refused(tables):
    write(tables / SMILES, [(ETHANOL, "CCO")])
    water, ethanol = records(tables, WATER, ETHANOL)
    with pytest.raises(RecordError, match=f"{WATER}: the record has no SMILES"):
        PubChemExtras().parse_compound(water)
    assert PubChemExtras().parse_compound(ethanol).smiles == "CCO"


def test_several_cids_of_one_inchikey_are_all_kept(tables):
    write(tables / INCHIKEYS, [(1, *identifiers("CCO")), (2, *identifiers("CCO"))])
    write(tables / SMILES, [(1, "CCO"), (2, "OCC")])
    compounds = [PubChemExtras().parse_compound(raw) for raw in records(tables, 1, 2)]
    assert [compound.cid for compound in compounds] == [1, 2]
    assert compounds[0].inchikey == compounds[1].inchikey


def test_the_first_synonyms_are_kept(tables):
    assert records(tables, ETHANOL, max_synonyms=1)[0].synonyms == ("ethyl alcohol",)


def test_tables_of_names_are_optional(tables):
    options = {"titles": False, "max_synonyms": 0}
    (tables / TITLES).unlink()
    (tables / SYNONYMS).unlink()
    (raw,) = records(tables, ETHANOL, **options)
    assert (raw.title, raw.synonyms) == ("", ())
    assert PubChemExtras(**options).list_files(tables) == [tables / INCHIKEYS, tables / SMILES]


def test_missing_tables_are_named(tables):
    (tables / SMILES).unlink()
    (tables / TITLES).unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks {SMILES}, {TITLES}; run the stage fetch"):
        records(tables, WATER)


def test_checksum_files_are_not_listed(tables):
    (tables / f"{SMILES}.md5").write_text("0" * 32)
    assert PubChemExtras().list_files(tables) == [tables / name for name in (INCHIKEYS, SMILES, TITLES, SYNONYMS)]


def test_bytes_of_a_title_that_are_not_utf8_are_replaced(tables):
    with gzip.open(tables / TITLES, "wb") as out:
        out.write(f"{WATER}\tOxidané\n".encode("latin-1") + f"{ETHANOL}\tβ-Ethanol\n".encode())
    water, ethanol = records(tables, WATER, ETHANOL)
    assert water.title == "Oxidan\N{REPLACEMENT CHARACTER}"
    assert ethanol.title == "β-Ethanol"
    assert PubChemExtras().parse_compound(water).title == water.title


def test_a_value_may_contain_tabs(tables):
    write(tables / TITLES, [(WATER, "Wa\tter")])
    assert records(tables, WATER)[0].title == "Wa\tter"


@pytest.mark.parametrize("table", [INCHIKEYS, SMILES, TITLES, SYNONYMS])
@pytest.mark.parametrize("size", [4, pubchem_extras.BLOCK])
def test_a_table_that_does_not_ascend_is_an_error(tables, monkeypatch, table, size):
    monkeypatch.setattr(pubchem_extras, "BLOCK", size)
    write(tables / table, [(3, "C", "C"), (9, "C", "C"), (4, "C", "C"), (ALANINE, "C", "C")])
    with pytest.raises(ValueError, match=rf"{table}, line 3: b'4\\tC.* after CID 9; .*ascend by CID"):
        records(tables, ALANINE)


@pytest.mark.parametrize("table", [INCHIKEYS, SMILES, TITLES])
def test_a_repeated_cid_is_an_error(tables, table):
    write(tables / table, [(WATER, "O", "O"), (WATER, "O", "O")])
    with pytest.raises(ValueError, match=rf"{table}, line 2: b'{WATER}\\tO.* after CID {WATER}; .*ascend by CID"):
        records(tables, WATER, ETHANOL)


@pytest.mark.parametrize("table", [INCHIKEYS, SMILES, TITLES, SYNONYMS])
@pytest.mark.parametrize("is_cut", [True, False], ids=["truncated", "corrupt"])
def test_a_truncated_or_corrupt_table_is_an_error(tables, table, is_cut):
    generator = random.Random(0)
    write(tables / table, [(cid, generator.random()) for cid in range(1, ALANINE + 1)])
    content = (tables / table).read_bytes()
    half = len(content) // 2
    (tables / table).write_bytes(content[:half] + (b"" if is_cut else bytes(100) + content[half + 100 :]))
    with pytest.raises(ValueError, match=rf"{table}: truncated or broken .*delete it and fetch it again"):
        records(tables, ALANINE)


def test_a_file_that_is_not_gzipped_is_an_error(tables):
    (tables / TITLES).write_text("1\tWater\n")
    with pytest.raises(ValueError, match=rf"{TITLES}: truncated or broken"):
        records(tables, WATER)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["no bytes", "no lines"])
def test_an_empty_table_is_an_error(tables, content):
    (tables / TITLES).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{TITLES}: has no lines"):
        records(tables, WATER)


@pytest.mark.parametrize("line", ["Water", "\tWater", "CID\tTitle", ""])
def test_a_line_without_a_cid_is_an_error(tables, line):
    write(tables / TITLES, [(WATER, "Water"), (line,)])
    with pytest.raises(ValueError, match=rf"{TITLES}, line 2: .* after CID 90; a line must be a CID, a tab"):
        records(tables, WATER, ETHANOL)


def test_reading_stops_after_the_last_requested_cid(tmp_path, monkeypatch):
    monkeypatch.setattr(pubchem_extras, "BLOCK", 4)
    write(tmp_path / "a.gz", [(1, "x"), (2, "y"), (3, "z"), ("broken",)])
    assert list(read_wanted_lines(tmp_path / "a.gz", array(2))) == [(2, "y")]


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_lines_are_complete_for_any_block_size(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pubchem_extras, "BLOCK", size)
    rows = [(1, "a"), (22, ""), (22, "a long line " * 3), (333_333_333, "β")]
    write(tmp_path / "a.gz", rows)
    wanted = array(1, 22, 333_333_333)
    stripped = [(cid, value.strip()) for cid, value in rows]
    assert list(read_wanted_lines(tmp_path / "a.gz", wanted, repeated=True)) == stripped
    with gzip.open(tmp_path / "a.gz", "ab") as out:
        out.write(b"333333334\tthe end")
    last = (333_333_334, "the end")
    assert list(read_wanted_lines(tmp_path / "a.gz", np.append(wanted, last[0]), repeated=True)) == [*stripped, last]


@pytest.mark.parametrize("size", [1000, pubchem_extras.BLOCK])
def test_few_of_many_lines_agree_with_a_join(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pubchem_extras, "BLOCK", size)
    generator = random.Random(0)
    cids = sorted(generator.sample(range(1, 200_000), 20_000))
    inchi, inchikey = identifiers("CCO")
    write(tmp_path / INCHIKEYS, [(cid, f"{inchi}#{cid}", inchikey) for cid in cids])
    write(tmp_path / SMILES, [(cid, f"C{cid}") for cid in cids])
    write(tmp_path / TITLES, [(cid, f"title {cid}") for cid in cids if generator.random() < 0.5])
    write(tmp_path / SYNONYMS, [(cid, f"name {cid} {i}") for cid in cids for i in range(generator.randrange(4))])
    wanted = [cids[0], cids[9_999], cids[-1]]
    found = records(tmp_path, 0, *wanted, 200_001)

    def table(name, *columns):
        return pd.read_csv(tmp_path / name, sep="\t", header=None, names=["cid", *columns])

    names = table(SYNONYMS, "name").groupby("cid")["name"].agg(tuple).rename("synonyms").reset_index()
    joined = table(INCHIKEYS, "inchi", "inchikey").merge(table(SMILES, "smiles"), "left")
    joined = joined.merge(table(TITLES, "title"), "left").merge(names, "left").set_index("cid").loc[wanted]
    joined["title"] = joined["title"].fillna("")
    joined["synonyms"] = [value if isinstance(value, tuple) else () for value in joined["synonyms"]]
    assert joined["synonyms"].map(len).sum() > 0
    columns = ["smiles", "inchi", "inchikey", "title", "synonyms"]
    assert [tuple(raw) for raw in found] == list(joined[columns].itertuples(name=None))


class Server:
    """A client that writes the address of a file into it and has no checksums."""

    def __init__(self):
        self.asked = []

    def download(self, url, path, md5=None):
        if url.endswith(".md5"):
            raise FetchError(url, "not found", 404)
        self.asked.append(url)
        path.write_text(url)


def test_the_tables_in_use_are_downloaded(tmp_path):
    server = Server()
    PubChemExtras(max_synonyms=0).fetch(server, tmp_path, array(1))
    base = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/"
    assert server.asked == [base + name for name in ("CID-InChI-Key.gz", "CID-SMILES.gz", "CID-Title.gz")]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([INCHIKEYS, SMILES, TITLES])


def test_nothing_is_downloaded_if_a_path_is_given(tmp_path):
    server = Server()
    PubChemExtras(path=str(tmp_path)).fetch(server, tmp_path, array(1))
    assert server.asked == []
