"""What a card tells of several datasets in one training."""

from geomclip_tools.cards.training_story import tell_mixture, tell_training

DATA = {"rows": {"train": 1200}, "text_source": {"generated": 1200}}


def test_one_whole_dataset_is_no_mixture():
    assert tell_mixture({"dataset": "d", "further_datasets": None, "dataset_weights": None}) == []
    assert tell_mixture({"dataset": "d"}) == []


def test_every_dataset_is_told_with_its_passes_and_rows():
    training = {"dataset": "/data/names", "further_datasets": ["/data/descriptions", "org/more"]}
    training |= {"dataset_weights": [1.0, 0.5, 2.0], "further_data": [DATA, {}]}
    assert tell_mixture(training) == [
        "Rows of `descriptions` were mixed in, 0.5 passes an epoch.",
        "The data: 1,200 train rows; texts of generated.",
        "Rows of `org/more` were mixed in, 2 passes an epoch.",
    ]
    story = " ".join(tell_training(training))
    assert story.startswith("It was trained on `names`. Rows of `descriptions` were mixed in")


def test_a_weight_of_the_first_dataset_and_an_older_record():
    assert tell_mixture({"dataset": "d", "dataset_weights": [0.25]}) == ["An epoch was 0.25 passes over the former."]
    assert tell_mixture({"dataset": "d", "further_datasets": ["e"]}) == [
        "Rows of `e` were mixed in, one pass an epoch."
    ]
