"""`geomclip publish` from a built dataset to a stub of the Hub."""

import json
import shutil

import pytest
from datasets import load_dataset

from dataset_pubchem3d.build import build
from dataset_pubchem3d.recipe import Recipe
from geomclip_tools.cli import main
from tests.geomclip_tools.publishing.hub_stub import hub  # noqa: F401

CC_BY = "https://creativecommons.org/licenses/by/4.0/"
ID = "somebody/pairs"
ROWS = [("CCO", "ethanol"), ("CO", "methanol"), ("CCN", "ethylamine"), ("CC(=O)O", "acetic acid"), ("C1CC1", "a ring")]


def build_folder(folder, licences: str, name: str):
    table = folder / "table.csv"
    lines = [f"{smiles},The molecule is {text}.,{CC_BY}" for smiles, text in ROWS]
    table.write_text("\n".join(["smiles,text,text_license_url", *lines, "CS,The molecule is restricted.,"]) + "\n")
    build(Recipe.from_table(str(table), text_licenses=licences), folder / name)
    return folder / name


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A dataset of six pairs, one of them without a licence."""
    return build_folder(tmp_path_factory.mktemp("mixed"), "all", "pairs")


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """The same without this pair."""
    return build_folder(tmp_path_factory.mktemp("free"), "permissive", "pairs")


def fail(capsys, *words) -> str:
    with pytest.raises(SystemExit) as end:
        main(["publish", *map(str, words)])
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_dataset_arrives_and_loads(free, hub, tmp_path, capsys):  # noqa: F811
    main(["publish", str(free), ID])
    repository = hub.repositories["dataset", ID]
    files = {path.relative_to(free).as_posix() for path in free.rglob("*") if path.is_file()}
    assert set(repository.files) == files
    copy = tmp_path / "copy"
    for name, content in repository.files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            hub.fetch(free / name, copy / name)
        else:
            (copy / name).write_bytes(content)
        assert (copy / name).read_bytes() == (free / name).read_bytes()
    loaded = load_dataset(str(copy), split="train", cache_dir=str(tmp_path / "cache"))
    assert set(loaded["text_license_url"]) == {CC_BY}
    assert f"published {hub.address}/datasets/{ID}" in capsys.readouterr().out


def test_restricted_rows_are_refused_unless_allowed(mixed, hub, capsys):  # noqa: F811
    line = fail(capsys, mixed, ID)
    assert "rows of all configs of" in line
    assert "text of table, licence 'not stated'. Build it with --text-licenses permissive" in line
    assert hub.requests == []
    main(["publish", str(mixed), ID, "--private", "--allow-licenses", "not stated"])
    assert hub.repositories["dataset", ID].is_private


def test_a_dry_run_contacts_nothing(free, mixed, capsys, hub):  # noqa: F811
    main(["publish", str(free), ID, "--dry-run"])
    out = capsys.readouterr().out
    assert "data/default/train-00000-of-00001.parquet" in out
    assert f"licence '{CC_BY}': may be redistributed" in out
    assert f"nothing was uploaded to {ID}" in out
    assert "text of table" in fail(capsys, mixed, ID, "--dry-run")
    assert hub.requests == []


def test_a_model_arrives(hub, tmp_path, capsys):  # noqa: F811
    from tests.geomclip_tools.publishing.test_file_checks import RELEASE

    folder = tmp_path / "geomclip"
    folder.mkdir()
    for name in ("README.md", "config.json", "processing_geomclip.py"):
        shutil.copy(RELEASE / name, folder)
    (folder / "model.safetensors").write_bytes(bytes(1000))
    main(["publish", str(folder), "somebody/geomclip"])
    assert len(hub.repositories["model", "somebody/geomclip"].files) == 4
    assert "no row of" in fail(capsys, folder, ID, "--allow-licenses", "MIT")


def test_faults_are_told_before_any_request(free, hub, tmp_path, capsys):  # noqa: F811
    copy = tmp_path / "copy"
    shutil.copytree(free, copy)
    card = (copy / "README.md").read_text()
    (copy / "README.md").write_text(card.replace("license: other", "license: free"))
    assert "has the license 'free'" in fail(capsys, copy, ID)
    (copy / "README.md").write_text(card)
    report = json.loads((copy / "build_report.json").read_text())
    (copy / "build_report.json").write_text(json.dumps(report | {"source": "/data/pairs.csv"}))
    assert "holds a path of this machine, /data/pairs.csv" in fail(capsys, copy, ID)
    (copy / "build_report.json").write_text(json.dumps(report | {"sha256": {"default": "0"}}))
    assert "are not those of the build" in fail(capsys, copy, ID)
    assert "is neither a dataset nor a checkpoint" in fail(capsys, tmp_path, ID)
    assert "'pairs' is not of the form OWNER/NAME" in fail(capsys, free, "pairs")
    assert hub.requests == []


def test_an_upload_needs_the_network_and_words_in_order(free, capsys):
    assert "HF_HUB_OFFLINE=1 forbids an upload" in fail(capsys, free, ID)
    assert "there is no setting third" in fail(capsys, free, ID, "third")
