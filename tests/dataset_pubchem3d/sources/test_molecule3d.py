import math
import pickle

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources import molecule3d
from dataset_pubchem3d.sources.molecule3d import Molecule3D

TITLE = "PUBCHEM {:09} B3LYP 6-31G(d) gamess geometry optimization"


def make_conformer(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


ETHANOL = make_conformer("CCO")
BLOCK = TITLE.format(702) + Chem.MolToMolBlock(ETHANOL)
KEY = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"  # ethanol, PubChem's key for CID 702


def write_shard(folder, rows: dict, name: str = "train-00000-of-00001.parquet"):
    """A shard with the columns of the mirror; `rows` sets those that the test is about."""
    count = len(next(iter(rows.values())))
    others = {"index": range(count), "dipole x": [0.1] * count, "Y": [7.0] * count, "scf energy": [-154.0] * count}
    file = folder / "Molecule3D_random_split" / name
    file.parent.mkdir(exist_ok=True)
    pd.DataFrame({**others, **rows}).to_parquet(file)
    return file


def raws(folder) -> list[dict]:
    return list(Molecule3D().read_records(folder))


# -------------------------------------------------------------------------------------------------------------- parquet


def test_a_row_is_identified_and_keeps_its_coordinates(tmp_path):
    write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [BLOCK], "cid": [702]})
    (raw,) = raws(tmp_path)
    assert Molecule3D().identify(raw) == Identity(702, KEY)
    geometry = Molecule3D().parse_geometry(pickle.loads(pickle.dumps(raw)))
    assert geometry.geometry_id == "702"
    assert geometry.atomic_numbers.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert np.abs(geometry.positions[0] - ETHANOL.GetConformer().GetPositions()).max() < 1e-4
    assert geometry.energies is None  # their unit is unknown


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "block",
    [
        BLOCK,
        Chem.MolToMolBlock(ETHANOL),  # an empty title
        Chem.MolToMolBlock(ETHANOL).removeprefix("\n"),  # no title line at all
        Chem.MolToV3KMolBlock(ETHANOL).removeprefix("\n"),
    ],
)
def test_the_block_may_have_its_title_line_or_not(tmp_path, block, line_end):
    write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [block.replace("\n", line_end)], "cid": [702]})
    geometry = Molecule3D().parse_geometry(raws(tmp_path)[0])
    assert np.abs(geometry.positions[0] - ETHANOL.GetConformer().GetPositions()).max() < 1e-4


@pytest.mark.parametrize("cid", [702, 702.0, "702", "000000702"])
def test_a_cid_may_have_any_type(tmp_path, cid):
    write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [Chem.MolToMolBlock(ETHANOL)], "cid": [cid]})
    (raw,) = raws(tmp_path)
    assert Molecule3D().identify(raw).cid == 702
    assert type(Molecule3D().identify(raw).cid) is int
    assert Molecule3D().parse_geometry(raw).geometry_id == "702"


@pytest.mark.parametrize("cids", [[None, 702.0], [math.nan, 702.0], [None, "702"], ["", "702"]])
def test_a_record_without_cid_is_joined_by_its_smiles(tmp_path, cids):
    write_shard(tmp_path, {"SMILES": ["CCO"] * 2, "sdf": [Chem.MolToMolBlock(ETHANOL)] * 2, "cid": cids})
    without, with_cid = raws(tmp_path)
    assert Molecule3D().identify(without) == Identity(None, KEY)
    assert Molecule3D().parse_geometry(without).geometry_id == "train-00000-of-00001.parquet:0"
    assert Molecule3D().identify(with_cid) == Identity(702, KEY)


def test_a_missing_cid_is_taken_from_the_title(tmp_path):
    write_shard(tmp_path, {"SMILES": [None], "sdf": [BLOCK], "cid": [None]})
    assert Molecule3D().identify(raws(tmp_path)[0]) == Identity(702, None)


@pytest.mark.parametrize("names", [("SMILES", "sdf", "cid"), ("smiles", "SDF", "CID"), ("Smiles", "sdf", "Cid")])
def test_columns_may_be_spelled_in_any_case(tmp_path, names):
    write_shard(tmp_path, dict(zip(names, (["CCO"], [BLOCK], [702]), strict=True)))
    assert Molecule3D().identify(raws(tmp_path)[0]) == Identity(702, KEY)


@pytest.mark.parametrize("missing", ["SMILES", "sdf", "cid"])
def test_a_missing_column_is_named_with_the_existing_ones(tmp_path, missing):
    rows = {"SMILES": ["CCO"], "sdf": [BLOCK], "cid": [702]}
    del rows[missing]
    file = write_shard(tmp_path, rows)
    with pytest.raises(ValueError, match=f"{file.name}: has the columns index, .*energy.* each of cid, smiles, sdf"):
        raws(tmp_path)


def test_two_spellings_of_one_column_are_refused(tmp_path):
    write_shard(tmp_path, {"SMILES": ["CCO"], "smiles": ["CC"], "sdf": [BLOCK], "cid": [702]})
    with pytest.raises(ValueError, match="needs each of cid, smiles, sdf once"):
        raws(tmp_path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"cid": None, "smiles": None, "sdf": "x"}, "it has neither a CID nor a SMILES"),
        ({"cid": None, "smiles": "C(C", "sdf": "x"}, "RDKit cannot read the SMILES"),
        ({"cid": 2.5, "smiles": "C", "sdf": "x"}, "its CID is not a positive whole number"),
        ({"cid": math.inf, "smiles": "C", "sdf": "x"}, "its CID is not a positive whole number"),
        ({"cid": 0, "smiles": "C", "sdf": "x"}, "its CID is not a positive whole number"),
        ({"cid": "CID702", "smiles": "C", "sdf": "x"}, "its CID is not a positive whole number"),
        ({"cid": 703, "smiles": "CCO", "sdf": BLOCK}, "the CIDs of its column and its title differ"),
    ],
)
def test_a_record_that_cannot_be_identified_is_refused(row, reason):
    with pytest.raises(RecordError) as refused:
        Molecule3D().identify({"record_id": "shard:4", **row})
    assert (refused.value.record_id, refused.value.reason) == ("shard:4", reason)


@pytest.mark.parametrize(("sdf", "reason"), [(None, "it has no mol block"), ("garbage", "RDKit cannot read it as SDF")])
def test_a_record_without_a_geometry_is_refused(sdf, reason):
    with pytest.raises(RecordError) as refused:
        Molecule3D().parse_geometry({"record_id": "shard:4", "cid": 702, "smiles": "CCO", "sdf": sdf})
    assert refused.value.reason == reason


def test_shards_are_read_lazily_and_in_order(tmp_path):
    write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [BLOCK], "cid": [702]}, "a.parquet")
    broken = write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [BLOCK], "cid": [702]}, "b.parquet")
    broken.write_bytes(broken.read_bytes()[:-100])
    records = Molecule3D().read_records(tmp_path)
    assert next(records)["record_id"] == "a.parquet:0"
    with pytest.raises(ValueError, match=r"b\.parquet.*truncated or broken.*fetch it again"):
        next(records)


# ---------------------------------------------------------------------------------------------------------------- files


def test_an_sdf_has_its_cid_in_the_title(tmp_path):
    (tmp_path / "combined_mols_0_to_1000000.sdf").write_text(
        f"{BLOCK}$$$$\nno title{Chem.MolToMolBlock(ETHANOL)}$$$$\n"
    )
    first, second = raws(tmp_path)
    assert Molecule3D().identify(first) == Identity(702, None)
    assert Molecule3D().parse_geometry(first).geometry_id == "702"
    with pytest.raises(RecordError, match=r"combined_mols_0_to_1000000\.sdf:1: it has neither"):
        Molecule3D().identify(second)


def test_other_splits_and_remains_of_a_download_are_not_listed(tmp_path):
    shard = write_shard(tmp_path, {"SMILES": ["CCO"], "sdf": [BLOCK], "cid": [702]})
    for other in (".cache/huggingface/download/x.metadata", "Molecule3D_scaffold_split/train.parquet"):
        (tmp_path / other).parent.mkdir(parents=True)
        (tmp_path / other).touch()
    assert Molecule3D().list_files(tmp_path) == [shard]
    assert Molecule3D(config="Molecule3D_scaffold_split").list_files(tmp_path) == [tmp_path / other]


def test_a_folder_without_raw_files_is_named(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(FileNotFoundError, match=r"molecule3d.*has no files in \.parquet"):
        Molecule3D().list_files(tmp_path)


def test_fetch_requests_only_the_shards_of_its_split(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(molecule3d, "snapshot_download", lambda *args, **kwargs: asked.append((args, kwargs)))
    Molecule3D(config="Molecule3D_scaffold_split").fetch(None, tmp_path)
    patterns = {"allow_patterns": "Molecule3D_scaffold_split/*.parquet"}
    assert asked == [(("maomlab/Molecule3D",), {"repo_type": "dataset", "local_dir": tmp_path, **patterns})]
    Molecule3D(config="Molecule3D_scaffold_split").fetch(None, tmp_path)
    assert len(asked) == 1
