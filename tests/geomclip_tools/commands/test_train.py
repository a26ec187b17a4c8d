"""`geomclip train`: read settings from files and flags."""

from pathlib import Path

import pytest

from dataset_pubchem3d.recipe import Recipe
from geomclip_tools.commands.train import parse_settings
from geomclip_tools.configurations import list_shipped
from geomclip_tools.training.tasks import TASKS


def test_flags_override_the_config_file(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("learning_rate: 3.0e-4\nbatch_size: 32\nremove_hydrogens: false\n")
    words = ["pretrain", "--dataset", "d", "--output_dir", "o", "--config", str(config), "--batch_size", "16"]
    settings = parse_settings(words)
    assert (settings.learning_rate, settings.batch_size, settings.remove_hydrogens) == (3e-4, 16, False)
    second = tmp_path / "second.yaml"
    second.write_text("learning_rate: 7.0e-4\n")
    assert parse_settings([*words, f"--config={second}"]).learning_rate == 7e-4  # the later file wins
    with pytest.raises(SystemExit):
        parse_settings([*words, "--config"])


def test_lists_and_nothing_in_a_config_file(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("targets: [homo, lumo]\nunits: [eV, '']\nmax_atoms: 30\n")
    second.write_text("max_atoms: null\n")
    words = ["property", "--dataset", "d", "--output_dir", "o", "--model", "m", "--config", str(first)]
    settings = parse_settings(words)
    assert (settings.targets, settings.units, settings.max_atoms) == (["homo", "lumo"], ["eV", ""], 30)
    assert parse_settings([*words, "--config", str(second)]).max_atoms is None
    assert parse_settings([*words, "--targets", "gap", "zpve"]).targets == ["gap", "zpve"]


def test_unknown_settings_and_tasks_are_refused(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("learning_rat: 3.0e-4\n")
    with pytest.raises(SystemExit, match="there is no task 'pre-train'; choose one of pretrain, pretrain_geometry, "):
        parse_settings(["pre-train"])
    with pytest.raises(ValueError, match="there is no setting --learning_rat"):
        parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", "--config", str(config)])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("seed: [1,\n", "is not valid YAML; correct it"),
        ("", "does not contain settings"),
        ("- seed\n", "does not contain settings"),
    ],
)
def test_files_without_settings_are_refused(tmp_path, text, error):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.yaml {error}"):
        parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", "--config", str(tmp_path / "config.yaml")])


@pytest.mark.parametrize("name", ["data/qm9", "data/pubchem3d"])
def test_a_recipe_is_not_taken_for_settings(name):
    message = rf"{name} is a recipe for `geomclip build`.*`geomclip build --config {name} --out FOLDER`"
    with pytest.raises(ValueError, match=message):
        parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", "--config", name])


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_no_missing_default(task, capsys):
    with pytest.raises(SystemExit):
        parse_settings([task, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "default: None" not in printed
    assert "(required)" in printed
    assert "(default: 64)" in printed


def test_the_shipped_settings_can_be_read_by_their_names():
    """The file name starts with the task; a file name without a task is for `pretrain`."""
    needed = {
        "caption": ["--model", "m", "--decoder", "l"],
        "property": ["--model", "m", "--targets", "gap"],
        "pretrain_geometry": [],
    }
    names = [name for name in list_shipped() if name.startswith("train/")]
    assert len(names) > 5
    for name in names:
        task = next((task for task in needed if Path(name).name.startswith(task)), "pretrain")
        words = ["--dataset", "d", "--output_dir", "o", *needed.get(task, [])]
        parse_settings([task, "--config", name.removesuffix(".yaml"), *words])


def test_the_shipped_recipes_can_be_read():
    recipes = [path for name, path in list_shipped().items() if name.startswith("data/")]
    assert len(recipes) > 2
    for path in recipes:
        Recipe.from_yaml(path)


def test_dashes_and_underscores(tmp_path):
    words = ["pretrain", "--dataset", "d"]
    for flags in (["--output_dir", "o", "--learning_rate", "2e-3"], ["--output-dir", "o", "--learning-rate", "2e-3"]):
        assert parse_settings([*words, *flags]).learning_rate == 2e-3
