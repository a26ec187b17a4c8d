"""The section on training: its paragraphs, and a row for each stage."""

import pytest

from geomclip_tools.cards.training_story import (
    format_rates,
    format_stages,
    list_base_models,
    list_dataset_ids,
    list_stages,
    tell_data,
    tell_procedure,
)

NAMES = {
    "rows": {"train": 1200, "validation": 300, "test": 100},
    "text_source": {"generated": 1600},
    "text_license_url": {"MIT": 1200, "not stated": 400},
    "geometry_method": {"not stated": 1600},
    "has_no_molecule_of": ["holdout", "pairs"],
}
SPENT = {"seconds": 1200.0, "hardware": "AMD EPYC, 2 cores"}


def read_cells(training: dict) -> list[list[str]]:
    """Return the cells of each stage."""
    head, _, *rows = [line.strip("| ").split(" | ") for line in format_stages(list_stages(training)).splitlines()]
    assert all(len(row) == len(head) == 9 for row in rows)
    return rows


def test_a_mixture_shows_passes_and_rows_of_every_dataset():
    training = {"dataset": "/data/names", "further_datasets": ["/data/descriptions", "org/more"]}
    training |= {"dataset_weights": [1.0, 0.5, 2.0], "further_data": [NAMES, {}], "train_rows": 1000}
    ((_, _, _, data, *_),) = read_cells(training)
    descriptions = "`descriptions` (0.5 passes per epoch): 1,000 of 1,200 train, 300 validation"
    assert data == f"`names`; {descriptions}; `org/more` (2 passes per epoch)"
    stages = list_stages(training)
    assert list_dataset_ids(stages) == ["org/more"]
    assert tell_data(stages) == (
        "The model was trained on:\n\n- `names`.\n- `descriptions` (1,200 training rows). "
        "Source of the texts in `descriptions`: generated. Licence of these texts: MIT (75 %). "
        "The licence of 25 % of these texts is not stated. The method of the geometries is not stated.\n"
        "- `org/more`.\n\n"
        "No molecule of the hold-out lists `holdout` and `pairs` is in `descriptions`."
    )


def test_a_slice_of_a_split_is_shown_as_such():
    ((_, _, _, data, *_),) = read_cells({"dataset": "d", "data": NAMES, "train_split": "train[:90%]"})
    assert data == "`d`: train[:90%] of 1,200, 300 validation"


def test_a_mixture_of_an_older_record_has_no_data():
    ((_, _, _, data, *_),) = read_cells({"dataset": "d", "further_datasets": ["e"], "dataset_weights": None})
    assert data == "`d`; `e`"


def test_only_lists_that_hold_for_all_datasets_hold_for_the_training_data():
    pairs = NAMES | {"has_no_molecule_of": ["holdout"]}
    training = {"dataset": "names", "data": NAMES, "further_datasets": ["pairs"], "further_data": [pairs]}
    assert tell_data(list_stages(training)).endswith(
        "No molecule of the hold-out list `holdout` is in the training data. "
        "No molecule of the hold-out list `pairs` is in `names`."
    )


def test_rare_values_are_counted():
    methods = {"A": 900, "B": 80, "C": 15, "D": 5}
    data = tell_data(list_stages({"dataset": "d", "data": {"geometry_method": methods}}))
    assert "Method of the geometries: A (90 %); B (8 %); 2 others." in data


def test_stages_are_listed_in_the_order_in_which_they_ran():
    tower = {"dataset": "a", "geometry_model": "configs/compact.json", "denoising_weight": 1.0}
    text = {"dataset": "b", "geometry_model": "/runs/tower", "text_model": "org/text", "text_learning_rate": 0.0}
    text |= {"learning_rate": 5e-4, "earlier": {"geometry_model": tower}} | SPENT
    caption = {"dataset": "c", "model": "runs/text", "decoder": "org/llm", "geometry": "frozen"} | SPENT
    stages = list_stages(caption | {"earlier": {"model": text}})
    rows = read_cells(caption | {"earlier": {"model": text}})
    assert [row[:3] for row in rows] == [
        ["1", "geometry pre-training", "geometry tower: random weights in the shape of `compact.json`"],
        ["2", "contrastive pre-training", "geometry tower: stage 1; text tower: `org/text`"],
        ["3", "captioning", "geometry tower: stage 2, frozen; language model: `org/llm`, LoRA"],
    ]
    assert [row[-3:] for row in rows] == [
        ["–", "not recorded", "not recorded"],
        ["5e-4; text tower frozen", "20 minutes", "AMD EPYC, 2 cores"],
        ["–", "20 minutes", "AMD EPYC, 2 cores"],
    ]
    assert tell_procedure(stages) == (
        "Training had 3 stages. The geometry tower started from random weights in the shape of `compact.json`. "
        "The text tower started from `org/text`. The language model started from `org/llm`. "
        "Stages 2 and 3 took 40 minutes on AMD EPYC, 2 cores. The time of stage 1 is not recorded."
    )
    assert list_base_models(stages) == ["org/text", "org/llm"]


def test_a_folder_that_recorded_its_training_is_not_a_hub_id():
    stages = list_stages({"dataset": "d", "model": "runs/names", "earlier": {"model": {"dataset": "e"}}})
    assert list_base_models(stages) == []


def test_averaged_runs_name_their_seeds():
    training = {"dataset": "d", "model": None, "text_model": "org/text", "averaged_seeds": [0, 1, 2]} | SPENT
    assert read_cells(training)[0][1] == "contrastive pre-training, mean of 3 runs"
    assert "The weights are the mean of 3 runs with the seeds 0, 1 and 2." in tell_procedure(list_stages(training))


def test_a_predictor_trains_a_geometry_tower():
    (row,) = read_cells({"dataset": "d", "model": "org/geomclip", "targets": ["gap"], "geometry": "lora"})
    assert row[1:3] == ["property prediction", "geometry tower: `org/geomclip`, LoRA"]


@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        ({"batch_size": 64}, "64"),
        ({"batch_size": 64, "contrastive_batch_size": 256}, "256, in chunks of 64"),
        ({"batch_size": 64, "gradient_accumulation_steps": 2}, "64; 2 accumulation steps"),
    ],
)
def test_batch_sizes(settings, cell):
    assert read_cells({"dataset": "d"} | settings)[0][5] == cell


@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        ({"learning_rate": 0.0002}, "2e-4"),
        ({"learning_rate": 1e-3, "text_learning_rate": None}, "1e-3"),
        ({"learning_rate": 2.5e-5, "text_learning_rate": 1e-4}, "2.5e-5; text tower 1e-4"),
        ({"learning_rate": 1e-4, "head_learning_rate": 1e-3}, "1e-4; head 1e-3"),
        ({"learning_rate": 1e-4, "prefix_learning_rate": 2e-3}, "1e-4; prefix 2e-3"),
    ],
)
def test_learning_rates(settings, cell):
    assert format_rates(settings) == cell
