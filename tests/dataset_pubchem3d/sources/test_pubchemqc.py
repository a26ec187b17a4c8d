import gzip
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources import pubchemqc
from dataset_pubchem3d.sources.pubchemqc import PubChemQC

from ..fetch.scripted_server import File
from .lazy_shard import LazyShard

ALANINE = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)"
L_ALANINE = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"
WATER = "InChI=1S/H2O/h1H2"
WATER_KEY = "XLYOFNOQVPJJNP-UHFFFAOYSA-N"  # PubChem's, for CID 962
POSITIONS = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.48]]


def record(cid: int = 962, **changes) -> dict:
    """An invented record with the keys of the mirror, in their order."""
    return {
        "cid": cid,
        "state": "S0",
        "pubchem-inchi": WATER,
        "pubchem-charge": 0,
        "pubchem-version": "20160829",
        "name": f"{cid:09}.B3LYP@PM6.S0",
        "coordinates": [x for position in POSITIONS for x in position],
        "atomic-numbers": [8, 1, 1],
        "atom-count": 3,
        "heavy-atom-count": 1,
        "core-electrons": [0, 0, 0],
        "bond-order": [1, 1],
        "connection-indices": [1, 2, 1, 3],
        "formula": "H2O",
        "version": "1.0",
        "obabel-inchi": WATER,
        "pm6-obabel-canonical-smiles": "O",
        "energy-alpha-homo": -7.9,
        "total-energy": -2078.6,
        "homos": [4],
        "orbital-energies": [[-520.0, -26.0]],
        **changes,
    }


def printed(*records: dict) -> str:
    return json.dumps(records, indent=4)


def write(folder, text: str, name: str = "000000001-000253696.json"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


def raws(path) -> list[str]:
    return list(PubChemQC().read_records(path))


def raw(**changes) -> str:
    return json.dumps(record(**changes), indent=4)


# -------------------------------------------------------------------------------------------------------------- records


def test_a_record_is_identified_and_its_coordinates_are_those_that_were_written(tmp_path):
    write(tmp_path, printed(record()))
    (text,) = raws(tmp_path)
    assert PubChemQC().identify(text) == Identity(962, WATER_KEY)
    geometry = PubChemQC().parse_geometry(pickle.loads(pickle.dumps(text)))
    assert geometry.geometry_id == "962"
    assert geometry.atomic_numbers.tolist() == [8, 1, 1]
    assert np.array_equal(geometry.positions, np.float32([POSITIONS]))
    assert geometry.energies is None  # their unit is unknown


def test_the_stereo_perceived_from_the_geometry_does_not_identify():
    text = raw(cid=602, **{"pubchem-inchi": ALANINE, "obabel-inchi": L_ALANINE})
    assert PubChemQC().identify(text) == Identity(602, Chem.InchiToInchiKey(ALANINE))
    assert Chem.InchiToInchiKey(ALANINE) != Chem.InchiToInchiKey(L_ALANINE)


def test_a_record_is_identified_without_being_parsed(monkeypatch):
    text = raw()
    monkeypatch.setattr(pubchemqc.json, "loads", lambda _: pytest.fail("parsed"))
    assert PubChemQC().identify(text) == Identity(962, WATER_KEY)
    assert PubChemQC().identify("".join(text.split())) == Identity(962, WATER_KEY)  # written without spaces


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(dict(reversed(record().items()))),
        raw().replace("/h1H2", "\\/h1H2"),
        json.dumps({"name": '"cid": 7', **record()}),
    ],
)
def test_a_record_with_keys_in_another_order_is_identified(text):
    assert pubchemqc.FIRST_KEYS.match(text) is None
    assert PubChemQC().identify(text) == Identity(962, WATER_KEY)


def test_a_record_without_an_inchi_is_identified_by_its_cid():
    assert PubChemQC().identify(raw(**{"pubchem-inchi": None})) == Identity(962, None)
    assert PubChemQC().identify('{"cid": 962, "state": "S0"}') == Identity(962, None)


@pytest.mark.parametrize("method", ["identify", "parse_geometry"])
@pytest.mark.parametrize(
    ("text", "record_id", "reason"),
    [
        (raw(state="T1"), "962", "state is not S0"),
        (raw(state=None), "962", "state is not S0"),
        (raw(cid=0), '{ "cid": 0, "state": "S0", "pubchem-inchi": "InChI=1S/H2O/h1H2"', "its CID is not a positive"),
        (raw(cid="962"), '{ "cid": "962",', "its CID is not a positive whole number"),
        (raw(cid=962.0), '{ "cid": 962.0,', "its CID is not a positive whole number"),
        (raw(cid=True), '{ "cid": true,', "its CID is not a positive whole number"),
        (raw(cid=2**63), '{ "cid": 9223372036854775808,', "its CID is not a positive whole number"),
        ('{"state": "S0"}', '{"state": "S0"}', "its CID is not a positive whole number"),
        ('{"cid": 1, "cid": }', '{"cid": 1, "cid": }', "it is not JSON"),
        ('{"a": ' + "[" * 10**6, '{"a": [[[', "it is not JSON"),
    ],
)
def test_a_record_without_a_cid_or_a_ground_state_is_refused(method, text, record_id, reason):
    with pytest.raises(RecordError) as refused:
        getattr(PubChemQC(), method)(text)
    assert refused.value.record_id.startswith(record_id)
    assert len(refused.value.record_id) <= 80
    assert refused.value.reason.startswith(reason)


@pytest.mark.parametrize("inchi", ["", "O", "InChI=1S/β", "\ud800", 5, []])
def test_an_invalid_inchi_is_refused(inchi):
    with pytest.raises(RecordError) as refused:
        PubChemQC().identify(raw(**{"pubchem-inchi": inchi}))
    assert (refused.value.record_id, refused.value.reason) == ("962", "not an InChI")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"coordinates": [0.0] * 8}, "its coordinates are not three per atom"),
        ({"coordinates": [0.0] * 12}, "its coordinates are not three per atom"),
        ({"coordinates": POSITIONS}, "its coordinates are not three per atom"),
        ({"coordinates": None}, "its coordinates are not three per atom"),
        ({"atomic-numbers": 8}, "its coordinates are not three per atom"),
        ({"atomic-numbers": [[8, 1, 1]]}, "its coordinates are not three per atom"),
        ({"coordinates": [0.0] * 8 + ["x"]}, "its atoms or coordinates cannot be read"),
        ({"coordinates": [10**400] * 9}, "its atoms or coordinates cannot be read"),
        ({"atomic-numbers": [8, [1], 1]}, "its atoms or coordinates cannot be read"),
        ({"coordinates": [0.0] * 8 + [None]}, "a coordinate is not finite"),
        ({"coordinates": [0.0] * 8 + [float("nan")]}, "a coordinate is not finite"),
        ({"coordinates": [], "atomic-numbers": []}, "the geometry has no atoms"),
        ({"atomic-numbers": [8, 1, 0]}, "an atomic number is not one of 1 to 118"),
        ({"atomic-numbers": [8.0, 1.0, 1.0]}, "an atomic number is not one of 1 to 118"),
        ({"atomic-numbers": ["O", "H", "H"]}, "an atomic number is not one of 1 to 118"),
    ],
)
def test_an_inconsistent_geometry_is_refused(changes, reason):
    with pytest.raises(RecordError) as refused:
        PubChemQC().parse_geometry(raw(**changes))
    assert (refused.value.record_id, refused.value.reason) == ("962", reason)


@pytest.mark.parametrize("key", ["coordinates", "atomic-numbers"])
def test_a_record_without_a_geometry_is_refused(key):
    text = json.dumps({name: value for name, value in record().items() if name != key})
    with pytest.raises(RecordError, match=f"962: its atoms or coordinates cannot be read .*{key}"):
        PubChemQC().parse_geometry(text)


def test_anything_else_between_records_is_refused_and_not_lost(tmp_path):
    write(tmp_path, f"[{json.dumps(record(1))}, 17, {json.dumps(record(2))}]")
    first, second = raws(tmp_path)
    assert PubChemQC().identify(first).cid == 1
    with pytest.raises(RecordError, match="it is not JSON"):
        PubChemQC().identify(second)


# ---------------------------------------------------------------------------------------------------------------- files


def test_only_shards_are_read_in_cid_order(tmp_path):
    for cid, name in ((30, "100-999.json"), (10, "000000001-000000019.json"), (20, "20-99.json.gz")):
        write(tmp_path, printed(record(cid)), name)
    for other in ("README.md", "info.json", ".cache/huggingface/download/1-9.json.metadata", "1-9.json.part"):
        write(tmp_path, "", other)
    assert [PubChemQC().identify(text).cid for text in raws(tmp_path)] == [10, 20, 30]
    named = PubChemQC(shards=("100-999.json",))
    assert [named.identify(text).cid for text in named.read_records(tmp_path)] == [30]


def test_only_one_config_of_a_copy_of_the_mirror_is_read(tmp_path):
    expected = [
        write(tmp_path, "[]", f"data/{config}/train/1-9.json") for config in ("b3lyp_pm6_chon300nosalt", "b3lyp_pm6")
    ]
    assert PubChemQC().list_files(tmp_path) == expected[1:]
    assert PubChemQC(config="b3lyp_pm6_chon300nosalt").list_files(tmp_path) == expected[:1]


def test_a_single_file_may_have_any_name(tmp_path):
    assert len(raws(write(tmp_path, printed(record()), "part.json"))) == 1


def test_missing_shards_are_named(tmp_path):
    write(tmp_path, "[]", "info.json")
    with pytest.raises(FileNotFoundError, match=r"pubchemqc: .* has no files <first>-<last>\.json"):
        PubChemQC().list_files(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"pubchemqc: .* lacks 1-9\.json"):
        PubChemQC(shards=("1-9.json",)).list_files(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"1-9\.json"):
        raws(tmp_path / "1-9.json")


def test_fetch_requests_only_the_named_shards(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(pubchemqc, "hf_hub_download", lambda *args, **kwargs: asked.append((*args, kwargs)))
    PubChemQC(config="b3lyp_pm6_chon300nosalt", shards=("1-9.json", "10-19.json")).fetch(None, tmp_path)
    rest = {"repo_type": "dataset", "local_dir": tmp_path}
    folder = "data/b3lyp_pm6_chon300nosalt/train"
    assert asked == [("molssiai-hub/pubchemqc-b3lyp", f"{folder}/{name}", rest) for name in ("1-9.json", "10-19.json")]
    PubChemQC(path=str(tmp_path)).fetch(None, tmp_path)
    assert len(asked) == 2
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "1-9.json").touch()
    PubChemQC(config="b3lyp_pm6_chon300nosalt", shards=("1-9.json",)).fetch(None, tmp_path)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            RemoteEntryNotFoundError("404", response=SimpleNamespace(headers={}, request=None)),
            ValueError,
            r"pubchemqc-b3lyp has no data/b3lyp_pm6/train/1-9\.json; correct shards",
        ),
        (LocalEntryNotFoundError("no connection"), OSError, "no connection.*; run the command again"),
    ],
)
def test_a_shard_that_the_mirror_lacks_differs_from_a_lost_connection(tmp_path, monkeypatch, error, raised, message):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(pubchemqc, "hf_hub_download", refuse)
    with pytest.raises(raised, match=message):
        PubChemQC(shards=("1-9.json",)).fetch(None, tmp_path)


def test_fetch_does_not_download_terabytes_by_default(tmp_path):
    with pytest.raises(ValueError, match=r"all of b3lyp_pm6 would be 2\.24 TB.*name the shards"):
        PubChemQC().fetch(None, tmp_path)


# ------------------------------------------------------------------------------------------------------- fetch by CID

BY_CID = PubChemQC(fetch_by="cid")
TRAIN = "data/b3lyp_pm6/train"


@pytest.fixture
def mirror(server, monkeypatch):
    """A Hub with three shards of CIDs that are multiples of ten; returns those of CIDs, and what was requested."""
    monkeypatch.setattr(constants, "ENDPOINT", server.url(""))
    shards = {
        f"{first:09}-{last:09}.json": LazyShard(range(first + 9, last + 1, 10), [900] * 10)
        for first, last in ((1, 100), (101, 200), (1001, 1100))
    }
    siblings = [{"rfilename": name} for name in ("README.md", *(f"{TRAIN}/{name}" for name in reversed(shards)))]
    siblings.append({"rfilename": "data/b3lyp_pm6_chon300nosalt/train/000000001-000009999.json"})
    server.add("/api/datasets/molssiai-hub/pubchemqc-b3lyp", {"sha": "c0ffee", "siblings": siblings})
    for name, shard in shards.items():
        server.files[f"/datasets/molssiai-hub/pubchemqc-b3lyp/resolve/c0ffee/{TRAIN}/{name}"] = File(shard)
    return shards


def test_records_are_fetched_by_cid_from_the_shards_that_may_have_them(tmp_path, client, server, mirror):
    cids = np.array([5, 10, 50, 1010, 1100, 5000])
    BY_CID.fetch(client, tmp_path, cids)
    texts = list(BY_CID.read_records(tmp_path))
    assert [BY_CID.identify(text).cid for text in texts] == [10, 50, 1010, 1100]
    assert texts == [shard.get(cid).decode() for shard in mirror.values() for cid in cids if shard.get(cid)]
    assert BY_CID.parse_geometry(texts[0]).atomic_numbers.tolist() == [8, 1, 1]
    first, _, third = mirror
    assert {request["path"].rpartition("/")[2] for request in server.requests[1:]} == {first, third}
    server.requests.clear()
    BY_CID.fetch(client, tmp_path, cids)
    assert server.requests == []
    assert [file.name for file in BY_CID.list_files(tmp_path)] == [first, third]


def test_records_are_fetched_by_cid_from_the_named_shards(tmp_path, client, mirror):
    first, second, _ = mirror
    source = PubChemQC(fetch_by="cid", shards=(first, second))
    source.fetch(client, tmp_path, np.array([150, 1010]))
    assert [source.identify(text).cid for text in source.read_records(tmp_path)] == [150]


def test_a_fetch_by_cid_of_nothing_is_an_error(tmp_path, client, mirror):
    with pytest.raises(ValueError, match="pubchemqc: none of 2 described CIDs is in a shard of b3lyp_pm6; remove"):
        BY_CID.fetch(client, tmp_path, np.array([500, 5000]))
    with pytest.raises(ValueError, match=r"pubchemqc: .* has no 1-9\.json in data/b3lyp_pm6/train/; correct shards"):
        PubChemQC(fetch_by="cid", shards=("1-9.json",)).fetch(client, tmp_path, np.array([5]))
    PubChemQC(fetch_by="cid", path=str(tmp_path)).fetch(None, tmp_path, np.array([5]))


def test_single_records_and_whole_shards_have_their_own_folders():
    assert (BY_CID.is_fetched_by_cid, PubChemQC().is_fetched_by_cid) == (True, False)
    assert BY_CID.raw_name != PubChemQC().raw_name


@pytest.mark.parametrize(
    "options", [{"fetch_by": "ranges"}, {"config": "pm6opt"}, {"shards": "1-9.json"}, {"shards": ("../1-9.json",)}]
)
def test_an_option_with_an_invalid_value_is_refused(options):
    with pytest.raises(ValueError, match=f"source pubchemqc: .*{next(iter(options.values()))[0]}"):
        PubChemQC(**options)


# ------------------------------------------------------------------------------------------------------------ structure


def text_of(inchi: str, smiles: str) -> str:
    """A record with the InChI of one molecule and a geometry of another."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    coordinates = mol.GetConformer().GetPositions().ravel().tolist()
    return raw(**{"pubchem-inchi": inchi, "atomic-numbers": numbers, "coordinates": coordinates})


ETHANOL = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"


def test_a_geometry_of_another_molecule_than_the_inchi_is_refused():
    assert len(PubChemQC().parse_geometry(text_of(ETHANOL, "CCO")).atomic_numbers) == 9
    for other in ("COC", "CC=O"):
        with pytest.raises(RecordError, match="962: its geometry is of another molecule than its InChI"):
            PubChemQC().parse_geometry(text_of(ETHANOL, other))


@pytest.mark.parametrize("smiles", ["Cc1cnc[nH]1", "Cc1c[nH]cn1", "Oc1ccccn1", "O=c1cccc[nH]1"])
def test_tautomers_of_the_inchi_are_not_refused(smiles):
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    for tautomer in ("Cc1cnc[nH]1", "Cc1c[nH]cn1", "Oc1ccccn1", "O=c1cccc[nH]1"):
        if Chem.MolToInchi(Chem.MolFromSmiles(tautomer)) == inchi:
            PubChemQC().parse_geometry(text_of(inchi, tautomer))
