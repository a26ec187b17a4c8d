"""Uploads to a stub of the Hub: what arrives, and what an interrupted upload sends again."""

import hashlib

import numpy as np
import pytest

from geomclip_tools.publishing.publication import Publication
from geomclip_tools.publishing.uploading import check_access, check_repo_id, upload
from tests.geomclip_tools.publishing.hub_stub import Repository, hub  # noqa: F401

ID = "somebody/pairs"


@pytest.fixture
def publication(tmp_path):
    """A folder with two large and two small files, one of which has a name with brackets, and one that is left out."""
    folder, noise = tmp_path / "pairs", np.random.default_rng(0)
    (folder / "data").mkdir(parents=True)
    for name in ("data/a.parquet", "data/b.parquet"):
        (folder / name).write_bytes(noise.bytes(100_000))
    (folder / "README.md").write_text("a card\n")
    (folder / "notes[1].md").write_text("notes\n")
    (folder / "secret.md").write_text("not published")
    return Publication(folder, "dataset", ("README.md", "data/a.parquet", "data/b.parquet", "notes[1].md"))


@pytest.fixture
def one_file_per_commit(monkeypatch):
    monkeypatch.setattr("huggingface_hub._upload_pipeline.COMMIT_SIZE_SCALE", [1])
    monkeypatch.setattr("huggingface_hub._upload_pipeline.INITIAL_COMMIT_SIZE_INDEX", 0)


def check_arrived(hub, publication, target):  # noqa: F811
    repository = hub.repositories[publication.kind, ID]
    assert set(repository.files) == {*publication.files}
    for name, arrived in repository.files.items():
        content = (publication.folder / name).read_bytes()
        if isinstance(arrived, str):
            assert arrived == hashlib.sha256(content).hexdigest()
            arrived = hub.fetch(publication.folder / name, target)
        assert arrived == content
    return repository


def test_files_arrive_byte_by_byte(hub, publication, tmp_path):  # noqa: F811
    assert upload(publication, ID, False) == f"{hub.address}/datasets/{ID}"
    repository = check_arrived(hub, publication, tmp_path / "fetched")
    assert not repository.is_private
    assert len(repository.commits) == 1


@pytest.mark.usefixtures("one_file_per_commit")
def test_an_interrupted_upload_resumes(hub, publication, tmp_path):  # noqa: F811
    hub.refused = {3}
    with pytest.raises(OSError, match=f"(?s)the upload to {ID} stopped: .*run the same command again"):
        upload(publication, ID, False)
    repository = hub.repositories["dataset", ID]
    arrived, stored = set(repository.files), hub.list_stored()
    assert arrived == {"README.md", "data/a.parquet"}
    upload(publication, ID, False)
    check_arrived(hub, publication, tmp_path / "fetched")
    later = [path for commit in repository.commits[2:] for path in commit]
    assert sorted(later) == ["data/b.parquet", "notes[1].md"]
    assert stored <= hub.list_stored()
    assert len(hub.list_stored()) == 2  # nothing was stored twice


def test_what_the_repository_has_is_not_sent_again(hub, publication):  # noqa: F811
    upload(publication, ID, False)
    stored = hub.list_stored()
    upload(publication, ID, False)
    assert len(hub.repositories["dataset", ID].commits) == 1
    assert hub.list_stored() == stored


def test_data_files_of_an_earlier_dataset_are_removed(hub, publication, tmp_path):  # noqa: F811
    files = {"data/old.parquet": "0" * 64, "LICENSE": b"of the owner", ".gitattributes": b""}
    hub.repositories["dataset", ID] = Repository(False, dict(files))
    upload(publication, ID, False)
    assert set(hub.repositories["dataset", ID].files) == {*publication.files, "LICENSE", ".gitattributes"}


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_private_repository(hub, publication, kind, tmp_path):  # noqa: F811
    publication = Publication(publication.folder, kind, publication.files)
    upload(publication, ID, True)
    assert check_arrived(hub, publication, tmp_path / "fetched").is_private


def test_nothing_private_goes_to_a_public_repository(hub, publication):  # noqa: F811
    hub.repositories["dataset", ID] = Repository(is_private=False)
    with pytest.raises(ValueError, match=f"{ID} exists and is public"):
        upload(publication, ID, True)
    assert not hub.repositories["dataset", ID].files


def test_a_wrong_token_is_told(hub, publication, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(OSError, match="401"):
        upload(publication, ID, False)
    assert hub.repositories == {}


def test_without_a_connection(publication, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=f"the upload to {ID} stopped"):
        upload(publication, ID, False)


def test_access_needs_a_network_and_a_token(monkeypatch):
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE=1 forbids an upload"):
        check_access()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("geomclip_tools.publishing.uploading.get_token", lambda: None)
    with pytest.raises(ValueError, match="there is no token"):
        check_access()
    monkeypatch.setattr("geomclip_tools.publishing.uploading.get_token", lambda: "hf_token")
    check_access()


@pytest.mark.parametrize("repo_id", ["pairs", "datasets/somebody/pairs", "somebody/pairs.git", "some body/pairs", ""])
def test_malformed_ids_are_refused(repo_id):
    check_repo_id(ID)
    with pytest.raises(ValueError, match=r"(?i)repo"):
        check_repo_id(repo_id)
