import json
import re
from dataclasses import replace

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_pubchem3d.build import build
from dataset_pubchem3d.publication import folder as folder_module
from dataset_pubchem3d.publication.folder import refuse_foreign_folder
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.schema import COLUMNS
from dataset_pubchem3d.stages.splits import SPLITS


@pytest.fixture(scope="module")
def recipe(world):
    return Recipe.from_yaml(world / "recipe.yaml")


@pytest.fixture(scope="module")
def small(recipe, tmp_path_factory):
    """The small world with all its configs."""
    out = tmp_path_factory.mktemp("small") / "pubchem3d"
    build(recipe, out)
    return out


def test_load_dataset_from_the_working_directory(built, tmp_path, monkeypatch, rows):
    monkeypatch.chdir(built.parent)
    cache = str(tmp_path / "cache")
    loaded = load_dataset("pubchem3d", cache_dir=cache)
    assert {split: len(loaded[split]) for split in SPLITS} == {"train": 1779, "validation": 223, "test": 222}
    assert len(load_dataset("pubchem3d", split="train[:10%]", cache_dir=cache)) == 178
    assert load_dataset("pubchem3d", split="test[3:5]", cache_dir=cache).to_list() == loaded["test"].to_list()[3:5]
    by_key = {row["inchikey"]: row for row in rows}
    assert all(by_key[row["inchikey"]] == row for split in SPLITS for row in loaded[split].to_list())


@pytest.mark.parametrize("config", ["default", "pretrain", "captioning", "qm9"])
def test_every_config_loads_and_streams(small, tmp_path, monkeypatch, config):
    monkeypatch.chdir(small.parent)
    sizes = json.loads((small / "build_report.json").read_text())["configs"][config]
    assert set(sizes) == {"pretrain": {"train", "validation"}, "captioning": {"train", "validation"}}.get(
        config, {*SPLITS}
    )
    for split, size in sizes.items():
        loaded = load_dataset("pubchem3d", config, split=split, cache_dir=str(tmp_path / "cache"))
        streamed = load_dataset("pubchem3d", config, split=split, streaming=True)
        assert loaded.features == streamed.features
        assert loaded.to_list() == list(streamed)
        assert len(loaded) == size
    assert sum(sizes.values()) > 0


def test_a_rebuilt_folder_is_not_read_from_the_cache(recipe, tmp_path):
    out, cache, keys = tmp_path / "pubchem3d", str(tmp_path / "cache"), []
    for min_words in (6, 13):
        build(replace(recipe, min_words=min_words), out)
        loaded = load_dataset(str(out), "default", cache_dir=cache)
        streamed = load_dataset(str(out), "default", streaming=True)
        keys.append({row["text"] for split in loaded for row in loaded[split]})
        assert keys[-1] == {row["text"] for split in streamed for row in streamed[split]}
    assert keys[1] < keys[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_publishes_nothing(recipe, tmp_path, monkeypatch, error):
    def interrupt(*args):
        raise error

    monkeypatch.setattr(folder_module, "write_card", interrupt)
    with pytest.raises(error):
        build(recipe, tmp_path / "pubchem3d")
    assert [path.name for path in tmp_path.iterdir()] == [".pubchem3d.work"]


def test_an_interrupted_rebuild_leaves_the_earlier_folder(recipe, tmp_path, monkeypatch):
    out = tmp_path / "pubchem3d"
    build(recipe, out)
    before = {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()}
    monkeypatch.setattr(folder_module, "write_card", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(replace(recipe, min_words=10), out)
    assert {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"pubchem3d", ".pubchem3d.work"}


def test_only_a_built_folder_is_replaced(small, tmp_path):
    refuse_foreign_folder(tmp_path / "absent")
    refuse_foreign_folder(small)
    foreign, file = tmp_path / "foreign", tmp_path / "file"
    foreign.mkdir()
    file.touch()
    for path in (foreign, file):
        with pytest.raises(FileExistsError, match=rf"{path.name} exists and was not built"):
            refuse_foreign_folder(path)
    (foreign / "build_report.json").write_text('{"builder": "another"}')
    with pytest.raises(FileExistsError):
        refuse_foreign_folder(foreign)


def test_the_card_states_what_was_built(small):
    report = json.loads((small / "build_report.json").read_text())
    card = DatasetCard.load(small / "README.md")
    for config in card.data.configs:
        assert config["description"] == f"sha256:{report['sha256'][config['config_name']]}"
    assert [config["config_name"] for config in card.data.configs if config.get("default")] == ["default"]
    for info in card.data.dataset_info:
        sizes = {split["name"]: split["num_examples"] for split in info["splits"]}
        assert sizes == report["configs"][info["config_name"]]
    assert f"{sum(report['configs']['default'].values())} pairs" in card.text
    for stage, counted in report["counts"].items():
        assert all(f"| {stage} | {what} | {number} |" in card.text for what, number in counted.items())
    assert "| `qm9` | all molecules of qm9 with their properties, without texts | 21 | 19 | 20 |" in card.text
    assert "shares of 30 % for train, 30 % for validation, 40 % for test" in card.text
    assert all(f"| `{column.name}` | {column.dtype} |" in card.text for column in COLUMNS)
    assert "| `gap` | float64 | Hartree |" in card.text
    assert "{{" not in card.content
    assert "{%" not in card.content


@pytest.mark.parametrize("fixture", ["small", "built"])
def test_the_code_on_the_card_runs(request, tmp_path, monkeypatch, capsys, fixture):
    folder = request.getfixturevalue(fixture)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    exec(code, {})
    assert "[[" in capsys.readouterr().out  # positions


def test_the_metadata_of_the_card_is_valid_on_the_hub(small):
    card = DatasetCard.load(small / "README.md")
    assert yaml.safe_load(card.content.split("---\n")[1]) == card.data.to_dict()
    assert DatasetCard(str(card)).data.to_dict() == card.data.to_dict()
    assert (card.data.pretty_name, card.data.license, card.data.license_name) == (
        "PubChem3D",
        "other",
        "mixed-see-card",
    )
    assert card.data.size_categories == "n<1K"
    assert card.data.task_categories == ["feature-extraction", "text-retrieval"]  # PIPELINE_DATA of huggingface.js
    assert card.data.tags == ["chemistry", "molecules", "3d", "geometry", "pubchem", "molecule3d", "qm9"]


def test_what_is_not_stated_is_a_sentence(small):
    card = (small / "README.md").read_text()
    counts = json.loads((small / "build_report.json").read_text())["rows_by"]["text_license_url"]
    assert f"The licence of the text is not stated for {counts['not stated']} of 8 rows." in card
    assert "| not stated |" not in card


def test_the_card_states_what_pretrain_lacks(recipe, tmp_path):
    acetone = "The molecule is a methyl ketone that consists of propane with an OXO group"
    contents = {
        "mine.csv": f"smiles,text\nCCO,\nC,{acetone}\n",  # methane, with the text of acetone
        "plain.txt": "O\n",
        "none.csv": "smiles,text\nCCCCCC,Hexane.\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    lists = {name.partition(".")[0]: str(tmp_path / name) for name in contents}
    # All in train, so that benchmarks alone count.
    report = build(replace(recipe, benchmarks=lists, split_sizes=(1, 0, 0)), tmp_path / "out")
    of_train = {"molecule of a benchmark": 3, "text of a benchmark": 1, "text of validation": 0, "text of test": 0}
    assert report["left_out_of_pretrain"]["train"] == of_train
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| train | {reason} | {number} |" in card for reason, number in of_train.items())
    assert "| mine | train 2 | train 1 |\n| plain | train 1 | the list has no texts |\n| none | none | none |" in card
    assert "\n\n\n" not in card[card.index("## Splits") : card.index("| mine |")]
    check_tables(card)


def test_every_table_of_the_card_is_one_table(small):
    check_tables((small / "README.md").read_text())


def check_tables(card):
    lines = card.splitlines()
    heads = [index for index, line in enumerate(lines) if line.startswith("|---")]
    assert len(heads) >= 5
    for head in heads:
        columns = lines[head].count("|")
        assert lines[head - 1].count("|") == lines[head + 1].count("|") == columns
        assert lines[head - 2] == ""
    rows = [index for index, line in enumerate(lines) if line.startswith("|")]
    assert all(lines[index - 1].startswith("|") or index + 1 in heads for index in rows)
