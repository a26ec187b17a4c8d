import json

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_pubchem3d import folder as folder_module
from dataset_pubchem3d.folder import refuse_foreign_folder, staged_folder, write_folder
from dataset_pubchem3d.schema import COLUMNS
from dataset_pubchem3d.splits import SPLITS, assign_splits


def publish(out, rows, seed):
    splits = assign_splits((row["split_group"] for row in rows), seed)
    with staged_folder(out) as folder:
        write_folder(
            folder,
            [{**row, "split": splits[row["split_group"]]} for row in rows],
            {"source": "qm9", "seed": seed, "counts": {}},
        )


def test_load_dataset_from_the_working_directory(built, tmp_path, monkeypatch, rows):
    monkeypatch.chdir(built.parent)
    cache = str(tmp_path / "cache")
    loaded = load_dataset("pubchem3d", cache_dir=cache)
    assert {split: len(loaded[split]) for split in SPLITS} == {"train": 1779, "validation": 223, "test": 222}
    assert len(load_dataset("pubchem3d", split="train[:10%]", cache_dir=cache)) == 178
    assert load_dataset("pubchem3d", split="test[3:5]", cache_dir=cache).to_list() == loaded["test"].to_list()[3:5]
    streamed = load_dataset("pubchem3d", split="validation", streaming=True, cache_dir=cache)
    assert list(streamed) == loaded["validation"].to_list()
    by_key = {row["inchikey"]: row for row in rows}
    assert all(by_key[row["inchikey"]] == row for split in SPLITS for row in loaded[split].to_list())


def test_a_rebuilt_folder_is_not_served_stale(tmp_path, rows):
    out, cache = tmp_path / "pubchem3d", str(tmp_path / "cache")
    keys = []
    for seed in (0, 1):
        publish(out, rows[::10], seed)
        keys.append(set(load_dataset(str(out), split="test", cache_dir=cache)["inchikey"]))
        assert keys[-1] == {row["inchikey"] for row in load_dataset(str(out), split="test", streaming=True)}
    assert len(keys[0]) == len(keys[1]) > 20
    assert keys[0] != keys[1]


def test_equal_input_gives_equal_bytes(tmp_path, rows):
    for name in ("first", "second"):
        publish(tmp_path / name, rows[:50], seed=0)
    files = sorted(file.relative_to(tmp_path / "first") for file in (tmp_path / "first").rglob("*") if file.is_file())
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_leaves_nothing(tmp_path, rows, monkeypatch, error):
    def interrupt(*args):
        raise error

    monkeypatch.setattr(folder_module, "write_card", interrupt)
    with pytest.raises(error):
        publish(tmp_path / "pubchem3d", rows[:50], seed=0)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_rebuild_leaves_the_earlier_folder(tmp_path, rows, monkeypatch):
    out = tmp_path / "pubchem3d"
    publish(out, rows[:50], seed=0)
    before = {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()}
    monkeypatch.setattr(folder_module, "write_card", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(out, rows[:100], seed=0)
    assert {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()} == before
    assert list(tmp_path.iterdir()) == [out]


def test_only_our_own_folder_is_replaced(tmp_path, rows):
    refuse_foreign_folder(tmp_path / "absent")
    ours, foreign, file = tmp_path / "ours", tmp_path / "foreign", tmp_path / "file"
    publish(ours, rows[:50], seed=0)
    refuse_foreign_folder(ours)
    foreign.mkdir()
    file.touch()
    for path in (foreign, file):
        with pytest.raises(FileExistsError, match=rf"{path.name} exists and was not built"):
            refuse_foreign_folder(path)
    (foreign / "build_report.json").write_text('{"builder": "another"}')
    with pytest.raises(FileExistsError):
        refuse_foreign_folder(foreign)


def test_the_card_states_what_was_built(built, rows):
    report = json.loads((built / "build_report.json").read_text())
    card = DatasetCard.load(built / "README.md")
    assert report["sha256"] in card.data.configs[0]["description"]
    assert {split["name"]: split["num_examples"] for split in card.data.dataset_info["splits"]} == report["splits"]
    assert f"{len(rows)} molecules" in card.text
    assert all(f"| {split} | {number} |" in card.text for split, number in report["splits"].items())
    assert all(f"| {what} | {number} |" in card.text for what, number in report["counts"].items())
    assert all(f"| `{column.name}` | {column.dtype} |" in card.text for column in COLUMNS)
    assert "{{" not in card.content
    assert "{%" not in card.content
