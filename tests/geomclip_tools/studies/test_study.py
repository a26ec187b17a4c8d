"""Reading a study file, and its errors."""

import pytest

from geomclip_tools.studies.study import build_study, change_stages, fill, read_metric, read_study
from tests.geomclip_tools.studies.conftest import SCRIPT


def test_a_study(study):
    assert (study.name, study.evaluation, study.metric) == ("levels", "retrieval", "text_to_geometry_full_recall_at_1")
    assert list(study.variants) == ["base", "high", "short"]
    assert (study.baseline, study.controls, study.best) == ("base", ("short",), "highest")
    high, short = study.variants["high"], study.variants["short"]
    assert high.stages["second"] == {"script": SCRIPT, "measures": "retrieval", "start": "{first}", "level": 4}
    assert list(short.stages) == ["second"]
    assert short.stages["second"] == {"script": SCRIPT, "measures": "retrieval", "level": 2}
    assert high.seeds == (0, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall", ("retrieval", "model", "recall")),
        ("words.recall", ("words", "model", "recall")),
        ("words.all.recall", ("words", "all", "recall")),
    ],
)
def test_a_metric_s_evaluation_and_row(name, expected):
    assert read_metric(name, "retrieval") == expected


def test_a_grid_is_a_variant_for_each_combination(write_study):
    grid = {"first.level": [1, 2], "second.level": [3, 4]}
    study = read_study(write_study(variants={"base": {}, "grid": {"grid": grid, "seeds": [5]}}, controls=[]))
    assert list(study.variants)[1:] == [
        f"grid:first.level={first},second.level={second}" for first in (1, 2) for second in (3, 4)
    ]
    assert study.variants["grid:first.level=2,second.level=3"].stages["first"]["level"] == 2
    assert [variant.seeds for variant in study.choose(["grid"])] == [(5,)] * 4
    assert [variant.name for variant in study.choose(["base"])] == ["base"]
    assert len(study.choose(None)) == 5
    with pytest.raises(ValueError, match="no variant 'gri'; it has base, grid:first"):
        study.choose(["gri"])


def test_numbers_without_a_dot_are_numbers(write_study, tmp_path):
    path = write_study()
    path.write_text(path.read_text().replace("level: 4", "level: 5e-4"))
    assert read_study(path).variants["high"].stages["second"]["level"] == 5e-4


def test_settings_override_those_of_configs_and_null_unsets(values):
    stage = {"task": "pretrain", "config": ["train/align_names", "train/align_texts"], "dataset": "{pairs}"}
    values |= {"inputs": ["pairs"], "stages": {"texts": stage}, "controls": [], "evaluations": {"retrieval": {}}}
    values["variants"] = {"base": {}, "changed": {"texts.learning_rate": 1e-3, "texts.temperature": None}}
    study = build_study("s", values, "")
    base, changed = (variant.stages["texts"] for variant in study.variants.values())
    assert "config" not in base
    assert (base["learning_rate"], base["temperature"], base["max_text_tokens"]) == (5e-4, 0.05, 128)
    assert base["num_train_epochs"] == 12  # from the later file
    assert changed == {name: value for name, value in base.items() if name != "temperature"} | {"learning_rate": 1e-3}


def test_a_mapping_replaces_a_stage():
    stages = {"first": {"task": "a", "x": 1}, "second": {"task": "b"}}
    changed = change_stages("v", stages, {"first.y": 2, "first": {"script": "c"}})
    assert changed == {"first": {"script": "c", "y": 2}, "second": {"task": "b"}}
    assert stages["first"] == {"task": "a", "x": 1}


def test_names_in_braces_are_filled_everywhere():
    assert fill({"a": "{x}/y", "b": ["{x}", 3], "c": None}, str.upper) == {"a": "X/y", "b": ["X", 3], "c": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrik": "x"}, r"levels.yaml: the study has the unknown key 'metrik'; the keys are about, metric"),
        ({"metric": ""}, "lacks the key 'metric'"),
        ({"metric": "denoising.loss"}, "names the evaluation 'denoising'; it must be one of retrieval"),
        ({"best": "largest"}, "`best` is 'largest'"),
        ({"baseline": "basis"}, "`baseline` names 'basis', which is not a variant; the variants are base, high, short"),
        ({"controls": ["x"]}, "`controls` names 'x'"),
        ({"controls": ["base", "high", "short"]}, "all variants are `controls`"),
        ({"inputs": ["first"]}, "'first' is the name of both an input and a stage"),
        ({"inputs": ["split"]}, "'split' is reserved for the split that an evaluation measures"),
        ({"inputs": "pairs"}, "`inputs` is 'pairs'; it must be a list"),
        ({"stages": [1]}, "`stages` is not a mapping"),
        ({"variants": {"a b": {}}}, "`variants` has the name 'a b'"),
        ({"variants": {"base": "x"}}, "'base' of `variants` is 'x'; it must be a mapping"),
        ({"variants": {"base": {"third.level": 1}}}, "'base' changes 'third.level'; the stages are first, second"),
        ({"variants": {"base": {"first": None, "first.level": 1}}}, "of a stage that it removes"),
        ({"variants": {"base": {"first": 3}}}, "sets 'first' to 3"),
        ({"variants": {"base": {"first": None}}}, "refers to the stage 'first', which the variant removes"),
        ({"variants": {"base": {"first.start": "{second}"}}}, "'second', which does not run before it"),
        ({"variants": {"base": {"first.start": "{first}"}}}, "'first', which does not run before it"),
        ({"variants": {"base": {"first.start": "{pairs}"}}}, r"to \{pairs\}; inputs are \[\], earlier stages \[\]"),
        ({"variants": {"base": {"first": None, "second": None}}}, "removes all stages"),
        ({"variants": {"base": {"seeds": 3}}}, "seeds of variant 'base' are 3"),
        ({"variants": {"base": {"grid": {"first.level": 3}}}}, "`grid` of variant 'base' is .*; it must map"),
        ({"seeds": ["a"]}, "seeds of variant 'base' are"),
        ({"stages": {"first": {}}, "variants": {"base": {}}}, "needs either a `task`"),
        ({"stages": {"first": {"task": "pretrain", "script": SCRIPT}}, "variants": {"base": {}}}, "needs either"),
        ({"stages": {"first": {"script": "no.py"}}, "variants": {"base": {}}}, "script 'no.py', which does not exist"),
        ({"stages": {"first": {"task": "x", "measures": "retrieval"}}, "variants": {"base": {}}}, "needs a `script`"),
        ({"variants": {"base": {"second.measures": "other"}}}, "measures 'other'; the evaluations are retrieval"),
        ({"variants": {"base": {"first.output_dir": "x"}}}, "sets 'output_dir', which the harness sets"),
        ({"evaluations": {"retrieval": {"output": "x"}}}, "sets 'output', which the harness sets"),
        ({"evaluations": {"retrieval": {"dataset": "{pairs}"}}}, "which is not an input"),
    ],
)
def test_what_cannot_be_run_is_refused(write_study, changes, message):
    if "variants" in changes:
        changes = {"controls": [], **changes}
    with pytest.raises(ValueError, match=message):
        read_study(write_study(**changes))


@pytest.mark.parametrize("split", ["test", "test[:10]", "'test'", '"TEST"', "validation+test", "quicktest"])
def test_a_test_split_is_refused_wherever_it_is_named(write_study, values, split):
    message = "only `geomclip study test` may read a test split"
    with pytest.raises(ValueError, match=message):
        read_study(write_study(evaluations={"retrieval": {"split": split}}))
    for name in ("train_split", "validation_split", "split"):
        with pytest.raises(ValueError, match=message):
            read_study(write_study(variants={"base": {f"first.{name}": split}}, controls=[]))


@pytest.mark.parametrize("dataset", ["data/test.parquet", "data/test-00000-of-00001.parquet", "my_test.csv"])
def test_a_file_of_a_test_split_is_refused(write_study, dataset):
    with pytest.raises(ValueError, match="only `geomclip study test`"):
        read_study(write_study(evaluations={"retrieval": {"dataset": dataset}}))


def test_words_that_contain_test_are_no_split(write_study):
    read_study(write_study(evaluations={"retrieval": {"dataset": "latest_contest/pairs"}}))


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(ValueError, match=r"there is no study file .*none\.yaml"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(ValueError, match=r"broken\.yaml is not valid YAML"):
        read_study(tmp_path / "broken.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ValueError, match=r"empty\.yaml: the study is not a mapping"):
        read_study(tmp_path / "empty.yaml")
