"""Plans: what each source announces is what it fetches, sums, disk space, and a disk that is too small."""

import gzip
import shutil
import socket
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from dataset_pubchem3d import plan as plan_module
from dataset_pubchem3d.build import build
from dataset_pubchem3d.command import main
from dataset_pubchem3d.fetch.planned import Download
from dataset_pubchem3d.plan import (
    Plan,
    SourcePlan,
    describe_plan,
    format_bytes,
    format_hours,
    make_plan,
    measure_free_space,
)
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.sources import molecule3d, pubchemqc
from dataset_pubchem3d.sources.base import StructureSource
from dataset_pubchem3d.sources.geom import GEOM
from dataset_pubchem3d.sources.molecule3d import Molecule3D
from dataset_pubchem3d.sources.ncbi_3d import NCBI3D
from dataset_pubchem3d.sources.pcqm4mv2 import TABLE_IN_ZIP, PCQM4Mv2
from dataset_pubchem3d.sources.pubchem_annotations import PubChemAnnotations
from dataset_pubchem3d.sources.pubchem_compound_text import PubChemCompoundTexts
from dataset_pubchem3d.sources.pubchem_extras import PubChemExtras
from dataset_pubchem3d.sources.pubchem_rest import PubChemREST
from dataset_pubchem3d.sources.pubchem_sdf import PubChemSDF
from dataset_pubchem3d.sources.pubchemqc import PubChemQC
from dataset_pubchem3d.sources.qm9 import QM9
from dataset_pubchem3d.sources.qm9_archive import QM9Archive
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.sources.table import Table

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "data").glob("*.yaml"))
PUBCHEM3D = next(file for file in RECIPES if file.stem == "pubchem3d")
EXTRAS = [7_361_682_757, 1_485_327_323, 1_888_458_761, 968_608_795]
TOTAL = 13_263_790_564  # the four tables above and the 1,559,712,928 bytes of PCQM4Mv2


class CountingClient:
    """A client that counts requests and answers with almost empty files and with three pages of annotations."""

    def __init__(self):
        self.requests = 0

    def download(self, url, path, md5=None):
        if path.exists():
            return
        self.requests += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(TABLE_IN_ZIP, gzip.compress(b"idx,smiles,homolumogap\n"))
        else:
            path.write_bytes(b"0")

    def get_json(self, url, data=None):
        self.requests += 1
        page = int(parse_qs(urlsplit(url).query).get("page", ["1"])[0])
        return {"Annotations": {"Annotation": [], "Page": page, "TotalPages": 3}, "Record": {"RecordNumber": 1}}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail at any connection, and give the Hub's functions a mirror of their own."""

    def mirror(repository, *args, local_dir, allow_patterns=None, **options):
        file = Path(local_dir) / (args[0] if args else allow_patterns.replace("*", "train-0"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("a plan asked a server"))
    monkeypatch.setattr(molecule3d, "snapshot_download", mirror)
    monkeypatch.setattr(pubchemqc, "hf_hub_download", mirror)


@pytest.fixture
def disk(monkeypatch):
    """Set the free bytes of every disk."""

    def set_free(number):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=number))

    return set_free


@pytest.fixture
def cids(tmp_path):
    (tmp_path / "cids.txt").write_text("702\n962\n241\n")
    return str(tmp_path / "cids.txt")


def sum_up(downloads):
    """Bytes and requests of the downloads, where unknown counts as None."""
    sizes, requests = [found.missing_bytes for found in downloads], [found.requests for found in downloads]
    return (None if None in sizes else sum(sizes), None if None in requests else sum(requests))


# ---------------------------------------------------------------------------------------------------------- the sources


@pytest.mark.parametrize(
    ("source", "expected"),  # bytes, requests
    [
        (PubChemAnnotations(), (None, 290)),
        (PubChemAnnotations(annotation_source="ChEBI"), (None, None)),
        (PubChemExtras(), (sum(EXTRAS), 8)),
        (PubChemExtras(titles=False, max_synonyms=0), (8_847_010_080, 4)),
        (PubChemREST(), (None, None)),
        (PubChemSDF(downloads=("a.sdf.gz", "b.sdf.gz")), (None, 4)),
        (NCBI3D(sdf_files=("00000001_00025000.sdf.gz",)), (None, 2)),
        (Molecule3D(), (None, 0)),
        (PCQM4Mv2(), (None, 2)),
        (PubChemQC(shards=("000000001-000253696.json",)), (None, 0)),
        (PubChemQC(), (None, 0)),
        (GEOM(), (42_687_717_910, 1)),
        (GEOM(part="qm9"), (1_025_881_930, 1)),
        (QM9Archive(), (86_630_979, 2)),
        (QM9(), (0, 0)),
        (RDKitConformers(), (0, 0)),
    ],
    ids=str,
)
def test_what_a_source_announces(source, expected, tmp_path):
    assert sum_up(source.plan(tmp_path / "raw")) == expected
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    "source",
    [
        PubChemExtras(),
        PubChemSDF(downloads=("a.sdf.gz", "b.sdf.gz")),
        NCBI3D(sdf_files=("00000001_00025000.sdf.gz",)),
        Molecule3D(),
        PCQM4Mv2(),
        PubChemQC(shards=("000000001-000253696.json",)),
        GEOM(),
        QM9Archive(),
        PubChemCompoundTexts(cids="cids.txt"),
    ],
    ids=lambda source: source.name,
)
def test_a_source_fetches_what_it_announces_and_then_nothing(source, cids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    client, announced = CountingClient(), source.plan(tmp_path / "raw")
    wanted = {"cids": np.array([702])} if isinstance(source, StructureSource) else {}
    source.fetch(client, tmp_path / "raw", **wanted)
    assert client.requests == sum_up(announced)[1]
    left = source.plan(tmp_path / "raw")
    assert len(left) == len(announced)
    assert all(found.is_there for found in left)
    assert sum_up(left) == (0, 0)


def test_pages_are_counted_by_the_last_one_that_is_there(tmp_path):
    source, client = PubChemAnnotations(), CountingClient()
    source.fetch(client, tmp_path)
    assert (client.requests, source.plan(tmp_path)[0].is_there) == (3, True)
    (tmp_path / "page-00002.json.gz").unlink()
    (found,) = source.plan(tmp_path)
    assert (found.name, found.requests, found.is_there) == ("3 pages", 1, False)
    (tmp_path / "page-00003.json.gz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"page-00003\.json\.gz cannot be read"):
        source.plan(tmp_path)


@pytest.mark.parametrize(
    ("source", "missing"),
    [(PubChemSDF(), "neither downloads nor path"), (NCBI3D(), "sdf_files is empty"), (PubChemCompoundTexts(), "cids")],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_option_that_a_source_needs_is_missed_before_anything_is_fetched(source, missing, tmp_path):
    with pytest.raises(ValueError, match=missing):
        source.plan(tmp_path)


# ------------------------------------------------------------------------------------------------------------- the plan


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_has_a_plan(file, tmp_path):
    recipe = Recipe.from_yaml(file)
    plan = make_plan(recipe, tmp_path / "work", tmp_path / "out")
    sources = (*recipe.texts, *recipe.geometries, recipe.structures, recipe.properties)
    used = {source.name for source in sources if source}
    assert {source.name for source in plan.sources} == used
    assert len(plan.sources) == len(used)  # QM9 once, though it gives geometries and properties
    assert (plan.missing_bytes > 0) is (file == PUBCHEM3D)
    assert all(source.name in describe_plan(plan) for source in plan.sources)
    assert list(tmp_path.iterdir()) == []


def test_the_sums_of_the_full_recipe(tmp_path, disk):
    disk(20 * 10**9)
    plan = make_plan(Recipe.from_yaml(PUBCHEM3D), tmp_path / "work", tmp_path / "out")
    assert plan.missing_bytes == TOTAL
    text = describe_plan(plan)
    assert "to fetch: at least 13.3 GB, and 3 downloads of unknown size; 0.29 hours at 100 Mbit/s" in text
    assert "requests: 300; 0.017 hours at the polite rate, 5 a second" in text
    assert "qm9: nothing is fetched" in text
    assert "verdict: the downloads of known size fit, and the others are not counted; 6.74 GB remain" in text
    plan.check_disk()


def test_what_is_there_is_not_counted(tmp_path):
    raw = tmp_path / "work" / "raw"
    for file, size in (("pubchem_extras/CID-SMILES.gz", 7), ("pubchem_extras/CID-Title.gz.part", 1_000)):
        (raw / file).parent.mkdir(parents=True, exist_ok=True)
        (raw / file).write_bytes(bytes(size))
    plan = make_plan(Recipe.from_yaml(PUBCHEM3D), tmp_path / "work", tmp_path / "out")
    assert plan.missing_bytes == TOTAL - 1_485_327_323 - 1_000
    text = describe_plan(plan)
    assert "CID-SMILES.gz: there already" in text
    assert "CID-Title.gz: 1.89 GB, 1 kB there already, 2 requests" in text
    assert "requests: 298;" in text


def test_a_source_with_a_path_fetches_nothing(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,text\nCCO,It is an alcohol.\n")
    recipe = Recipe(texts=(Table(str(tmp_path / "mine.csv")),), geometries=(GEOM(path="geom"), RDKitConformers()))
    plan = make_plan(recipe, tmp_path / "work", tmp_path / "out")
    assert plan.missing == []
    text = describe_plan(plan)
    assert f"table: nothing is fetched; it reads {tmp_path / 'mine.csv'}" in text
    assert "geom: nothing is fetched; it reads geom" in text
    assert "to fetch: nothing" in text
    assert "verdict: nothing is to be fetched; " in text
    assert "requests" not in text


def test_an_unknown_number_of_requests_is_named(tmp_path):
    found = Download("batches", requests=None, note="one for 100 CIDs")
    text = describe_plan(Plan([SourcePlan("rest", "", [found])], tmp_path, tmp_path))
    assert "batches: unknown size, unknown number of requests (one for 100 CIDs)" in text
    assert "requests: at least 0;" in text


def test_space_is_that_of_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=5))
    assert measure_free_space(tmp_path / "a" / "b") == 5
    assert asked == [tmp_path.resolve()]


def test_rows_by_the_rule_of_thumb(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(plan_module, "ROW_BYTES", 4_000)
    monkeypatch.setattr(plan_module, "CONFORMER_BYTES", 3_000)
    disk(10**9)
    plan = Plan([SourcePlan("one", "", [Download("file", 10**8, 1)])], tmp_path, tmp_path, conformers=2)
    assert plan.row_bytes == 10_000
    text = describe_plan(plan)
    assert "1 GB of stages and output for each 100,000 rows" in text
    assert "the downloads fit; 900 MB remain, enough for about 90,000 rows" in text


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (486_752, "487 kB"),
        (999_600, "1 MB"),
        (7_361_682_757, "7.36 GB"),
        (42_687_717_910, "42.7 GB"),
        (2_244_891_376_968, "2.24 TB"),
    ],
)
def test_bytes_are_written_in_powers_of_1000(number, expected):
    assert format_bytes(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(58, "0.016 hours"), (5400, "1.5 hours"), (4_000_000, "1,111 hours")]
)
def test_durations_are_hours(seconds, expected):
    assert format_hours(seconds) == expected


# --------------------------------------------------------------------------------------------- a disk that is too small


def test_a_plan_is_printed_and_writes_nothing(tmp_path, disk, monkeypatch, capsys):
    disk(TOTAL)
    monkeypatch.chdir(tmp_path)
    main(["build", "--plan", "--config", str(PUBCHEM3D), "--out", "full"])
    printed = capsys.readouterr().out
    assert printed.startswith("plan of the build; nothing was downloaded or written\n")
    assert "free disk: 13.3 GB for the work folder .full.work and full\n" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_refused_by_the_plan(tmp_path, disk, capsys):
    disk(TOTAL - 1)
    with pytest.raises(SystemExit) as end:
        main(["build", "--plan", "--config", str(PUBCHEM3D), "--out", str(tmp_path / "out")], prog="geomclip")
    assert end.value.code == 1
    printed = capsys.readouterr()
    assert "verdict: the disk is too small" in printed.out
    assert printed.err.startswith("geomclip build: the disk is too small: 13.3 GB are to be fetched into ")
    assert "choose another --work" in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_refused_by_a_build_before_any_request(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(PubChemAnnotations, "fetch", lambda *args: pytest.fail("fetched"))
    disk(TOTAL - 1)
    with pytest.raises(OSError, match=r"the disk is too small: 13\.3 GB are to be fetched"):
        build(Recipe.from_yaml(PUBCHEM3D), tmp_path / "out", last_stage="fetch")
    assert list(tmp_path.iterdir()) == []


def test_the_plan_refuses_the_folders_that_a_build_refuses(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SystemExit) as end:
        main(["build", "--plan", "--config", str(PUBCHEM3D), "--out", str(tmp_path)])
    assert end.value.code == 1
