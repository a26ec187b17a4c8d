from pathlib import Path

import pytest

from geomclip_tools.publishing.card_checks import check_card
from geomclip_tools.publishing.publication import Publication, open_folder

RELEASE = Path(__file__).resolve().parents[3] / "release" / "geomclip-mini"
DATASET = """---
license: other
license_name: mixed-see-card
configs:
- config_name: default
  data_files:
  - split: train
    path:
    - data/default/train-00000-of-00001.parquet
---
# Pairs
"""


def make_folder(tmp_path, card: str, kind: str = "dataset") -> Publication:
    file = tmp_path / "data" / "default" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "README.md").write_text(card)
    return Publication(tmp_path, kind, ("README.md", file.relative_to(tmp_path).as_posix()))


def test_valid_cards(tmp_path):
    check_card(make_folder(tmp_path, DATASET))
    check_card(open_folder(RELEASE))


def test_a_card_may_name_patterns(tmp_path):
    listed = "data_files:\n  - split: train\n    path:\n    - data/default/train-00000-of-00001.parquet"
    assert listed in DATASET
    check_card(make_folder(tmp_path, DATASET.replace(listed, "data_files: [data/**/train-*.parquet]")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (DATASET, "# Pairs\n", "does not begin with metadata between two lines ---"),
        (DATASET, "---\n- a list\n---\n", "is not a mapping"),
        ("license: other", "license: {other", "(?s)is not valid YAML: .* correct it, or build the dataset again"),
        ("license: other\n", "", "has the license None, which the Hub does not know"),
        ("license: other", "license: free", "has the license 'free'.*repositories-licenses"),
        ("license_name: mixed-see-card\n", "", "license: other without a license_name"),
        ("train-00000", "train-00001", r"files that the folder does not have: data/default/train-00001-of"),
        (
            "data_files:\n  - split: train\n    path:\n    - data",
            "data_files: nowhere",
            "does not have: nowhere/default",
        ),
        ("split: train\n    path:", "other:", "has no configs that name data_files"),
        ("configs:", "other_configs:", "has no configs that name data_files"),
    ],
)
def test_faults_of_a_dataset_card(tmp_path, old, new, message):
    assert old in DATASET
    publication = make_folder(tmp_path, DATASET.replace(old, new))
    with pytest.raises(ValueError, match=message):
        check_card(publication)


def test_faults_of_a_model_card(tmp_path):
    card = "---\nlicense: mit\nmodel-index:\n- name: tiny\n  results: 3\n---\n"
    publication = make_folder(tmp_path, card, "model")
    with pytest.raises(ValueError, match=r"huggingface_hub cannot read the metadata.*run geomclip card --model"):
        check_card(publication)
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [a, a]\n---\n")
    with pytest.raises(ValueError, match=r"huggingface_hub reads tags of .* differently"):
        check_card(publication)


def test_a_folder_without_a_card(tmp_path):
    with pytest.raises(ValueError, match=r"has no card README.md; run geomclip card --model"):
        check_card(Publication(tmp_path, "model", ()))
