import gzip
import json
import pickle

import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_rest import BATCH, PubChemREST

ETHANOL, ALANINE, UNKNOWN = 702, 5950, 999_999_999


def properties(cid, smiles="CCO", **more):
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    return {
        "CID": cid,
        "SMILES": smiles,
        "ConnectivitySMILES": Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False),
        "InChI": inchi,
        "InChIKey": Chem.InchiToInchiKey(inchi),
        "MolecularWeight": "46.07",
        "Charge": 0,
        **more,
    }


class Server:
    """A client that answers with properties of known compounds, the last first, and records its requests."""

    def __init__(self, *known, broken_after=None):
        self.known = {row["CID"]: row for row in known}
        self.broken_after, self.asked = broken_after, []

    def get_json(self, url, data=None):
        if len(self.asked) == self.broken_after:
            raise FetchError(url, "gave up", 503)
        (parameter,) = data.items()
        self.asked.append((url, *parameter))
        rows = [self.known[cid] for cid in map(int, data["cid"].split(",")) if cid in self.known]
        if not rows:
            raise FetchError(url, "HTTP 404 PUGREST.NotFound", 404)
        return {"PropertyTable": {"Properties": rows[::-1]}}


def array(cids):
    return np.array(list(cids), dtype=np.int64)


def fetched(folder, server, cids):
    PubChemREST().fetch(server, folder, array(cids))
    return list(PubChemREST().read_records(folder, array(cids)))


def test_compounds_come_in_order_with_their_titles(tmp_path):
    server = Server(properties(ETHANOL, Title="Ethanol"), properties(ALANINE, "C[C@@H](C(=O)O)N", Title="L-Alanine"))
    rows = fetched(tmp_path, server, [ETHANOL, ALANINE])
    compounds = [PubChemREST().parse_compound(pickle.loads(pickle.dumps(raw))) for raw in rows]
    assert [(compound.cid, compound.title) for compound in compounds] == [(ETHANOL, "Ethanol"), (ALANINE, "L-Alanine")]
    assert compounds[0].inchikey == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert compounds[1].inchikey == "QNAYBMKLOCPYGJ-REOHCLBHSA-N"
    assert all(compound.synonyms == () for compound in compounds)


def test_a_batch_is_one_parameter_joined_with_commas(tmp_path):
    server = Server(properties(1), properties(2))
    fetched(tmp_path, server, [1, 2])
    ((url, name, value),) = server.asked
    assert url.startswith("https://pubchem.ncbi.nlm.nih.gov/rest/pug/compound/cid/property/SMILES,ConnectivitySMILES,")
    assert url.endswith("/JSON")
    assert (name, value) == ("cid", "1,2")


def test_cids_are_requested_in_batches(tmp_path):
    cids = range(1, 2 * BATCH + 2)
    server = Server(*(properties(cid) for cid in cids))
    rows = fetched(tmp_path, server, cids)
    assert [raw["CID"] for raw in rows] == list(cids)
    assert [value.count(",") + 1 for _, _, value in server.asked] == [BATCH, BATCH, 1]


def test_fetching_resumes_where_it_stopped(tmp_path):
    cids, known = range(1, 3 * BATCH + 1), [properties(cid) for cid in range(1, 3 * BATCH + 1)]
    with pytest.raises(FetchError, match="gave up"):
        fetched(tmp_path, Server(*known, broken_after=2), cids)
    server = Server(*known)
    assert len(fetched(tmp_path, server, cids)) == 3 * BATCH
    assert [value.split(",")[0] for _, _, value in server.asked] == [str(2 * BATCH + 1)]
    again = Server()
    assert len(fetched(tmp_path, again, cids)) == 3 * BATCH
    assert again.asked == []


def test_a_batch_of_other_cids_is_requested_again(tmp_path):
    server = Server(properties(1), properties(2), properties(3))
    fetched(tmp_path, server, [1, 3])
    assert [raw["CID"] for raw in fetched(tmp_path, server, [2, 3])] == [2, 3]
    assert len(server.asked) == 2


def test_cids_that_the_server_does_not_know_are_skipped(tmp_path):
    server = Server(properties(ETHANOL), {"CID": UNKNOWN})
    assert [raw["CID"] for raw in fetched(tmp_path, server, [1, ETHANOL, UNKNOWN])] == [ETHANOL]


def test_a_batch_of_unknown_cids_is_requested_once(tmp_path):
    server = Server()
    assert fetched(tmp_path, server, [1, 2]) == []
    assert fetched(tmp_path, server, [1, 2]) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize("keys", [("SMILES",), ("IsomericSMILES", "CanonicalSMILES")], ids=["new", "old"])
def test_the_smiles_with_stereo_is_preferred_under_old_and_new_names(keys):
    raw = properties(ALANINE, "C[C@@H](C(=O)O)N")
    smiles, flat = raw.pop("SMILES"), raw.pop("ConnectivitySMILES")
    raw |= {"CanonicalSMILES": flat, "ConnectivitySMILES": flat} | {keys[0]: smiles}
    assert PubChemREST().parse_compound(raw).smiles == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("key", ["ConnectivitySMILES", "CanonicalSMILES"])
def test_a_smiles_without_stereo_is_sufficient(key):
    raw = properties(ALANINE, "C[C@@H](C(=O)O)N")
    del raw["SMILES"]
    raw[key] = raw.pop("ConnectivitySMILES")
    compound = PubChemREST().parse_compound(raw)
    assert compound.smiles == Chem.CanonSmiles("CC(C(=O)O)N")
    assert compound.inchikey == "QNAYBMKLOCPYGJ-REOHCLBHSA-N"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SMILES": "", "ConnectivitySMILES": ""}, "the record has no SMILES"),
        ({"InChIKey": ""}, "the record has no InChIKey"),
        ({"SMILES": "COC"}, "the SMILES and the InChIKey of the record differ"),
    ],
)
def test_records_that_cannot_be_used_are_refused(changes, reason):
    with pytest.raises(RecordError, match=f"{ETHANOL}: {reason}"):
        PubChemREST().parse_compound(properties(ETHANOL) | changes)


def test_a_batch_that_was_not_fetched_is_an_error(tmp_path):
    fetched(tmp_path, Server(properties(1)), [1])
    with pytest.raises(FileNotFoundError, match=r"\.json\.gz of CIDs 1 to 2 is missing; run the stage fetch"):
        list(PubChemREST().read_records(tmp_path, array([1, 2])))


def test_an_answer_that_is_not_a_property_table_is_not_kept(tmp_path):
    server = Server()
    server.get_json = lambda url, data=None: {"Waiting": {"ListKey": "1"}}
    with pytest.raises(ValueError, match=r"for CIDs 1 to 2: not a property table: \{'Waiting'"):
        PubChemREST().fetch(server, tmp_path, array([1, 2]))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_files_that_cannot_be_read_are_named(tmp_path):
    fetched(tmp_path, Server(properties(1)), [1])
    (file,) = tmp_path.iterdir()
    file.write_bytes(gzip.compress(json.dumps({"Fault": {}}).encode()))
    with pytest.raises(ValueError, match=rf"{file.name}: not a property table"):
        list(PubChemREST().read_records(tmp_path, array([1])))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=file.name):
        list(PubChemREST().read_records(tmp_path, array([1])))


def test_nothing_is_requested_if_a_path_is_given(tmp_path):
    server = Server(properties(1))
    PubChemREST(path=str(tmp_path)).fetch(server, tmp_path, array([1]))
    assert server.asked == []
