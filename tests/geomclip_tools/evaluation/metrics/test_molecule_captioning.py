"""Check the metric against direct calls of nltk and rouge_score and against values calculated by hand."""

import doctest
import random
import re
import warnings
from pathlib import Path

import evaluate
import nltk
import numpy as np
import pyarrow.parquet as pq
import pytest
from nltk.corpus import wordnet
from nltk.translate.bleu_score import corpus_bleu
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from transformers import BertTokenizer

from geomclip_tools.evaluation.metrics.molecule_captioning import _count_ngrams, _score_sums

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "eval" / "metrics" / "molecule_captioning"
REAL = ROOT.parent / "shared" / "data"
NAMES = ("bleu_2", "bleu_4", "rouge_1", "rouge_2", "rouge_l")
WORDS = ("the", "molecule", "is", "a", "fatty", "acid", "##yl", "β", "-", "′", "car", "auto", "dog")


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(FOLDER))


@pytest.fixture(scope="module")
def has_wordnet() -> bool:
    try:
        wordnet.ensure_loaded()
    except LookupError:
        return False
    return True


@pytest.fixture
def vocabulary_folder(tmp_path) -> Path:
    """A tokenizer folder like that of a checkpoint: a vocabulary, and a config.json with only the model type."""
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


def split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def sentence(draw: random.Random, kept: float) -> str:
    parts = [
        f"The molecule is {draw.choice(['a', 'an optically active', 'a monounsaturated', 'a β-linked'])}",
        draw.choice(["fatty acid", "oligosaccharide", "N′-acylhydrazide", "steroid ester", "carboxylic acid anion"]),
        f"that is {draw.choice(['hexane', 'octadecanoic acid', 'pyridine', '5α-androstane'])}",
        f"substituted by {draw.choice(['a hydroxy group', 'chloro groups', 'an oxo group'])}",
        f"at position{draw.choice([' 2', ' 17β', 's 3 and 9', 's 1, 2 and 4'])}.",
        f"It has a role as {draw.choice(['a metabolite', 'an EC 3.1.1.7 inhibitor', 'a plant hormone'])}.",
        f"It derives from {draw.choice(['a glycerol', 'a D-glucose', 'an L-alanine', 'a cholesterol'])}.",
    ]
    return " ".join(part for part in parts if draw.random() < kept)


def captions_and_texts(rows: int) -> tuple[list[str], list[str]]:
    """Return captions, the last one empty, and longer references in which one word in fifteen is doubled."""
    draw = random.Random(7)
    captions = [sentence(draw, kept=0.7) for _ in range(rows - 1)] + [""]
    texts = [sentence(draw, kept=0.9) for _ in range(rows)]
    return captions, [re.sub(r"\w+", lambda word: word[0] + draw.choice([""] * 14 + [f" {word[0]}"]), t) for t in texts]


@pytest.fixture(scope="module")
def many_pairs() -> tuple[list[str], list[str]]:
    return captions_and_texts(1200)


@pytest.fixture(scope="module")
def pairs() -> tuple[list[str], list[str]]:
    return captions_and_texts(150)


def direct(predictions, references, tokenize) -> list[float]:
    """Compute the scores with nltk and rouge_score directly."""
    hypotheses = [tokenize(text)[:512] for text in predictions]
    bleu_references = [[tokenize(text)[:512]] for text in references]
    bleu = [corpus_bleu(bleu_references, hypotheses, weights=(1 / order,) * order) for order in (2, 4)]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    rouge = [scorer.score(*pair) for pair in zip(references, predictions, strict=True)]
    return bleu + [np.mean([row[key].fmeasure for row in rouge]) for key in ("rouge1", "rouge2", "rougeL")]


def values(scores: dict, end: str = "") -> list[float]:
    return [scores[f"{name}{end}"] for name in NAMES]


def compute(metric, pairs, **options) -> dict:
    return metric.compute(predictions=pairs[0], references=pairs[1], **({"tokenizer": split} | options))


# ------------------------------------------------------------------------------------------ nltk and rouge_score


def test_generated_captions_score_what_nltk_and_rouge_score_give(metric, many_pairs):
    scores = compute(metric, many_pairs, num_bootstrap=0)
    assert scores["num_captions"] == 1200
    assert values(scores) == pytest.approx(direct(*many_pairs, split), abs=1e-12)
    assert min(abs(np.diff(sorted(values(scores))))) > 0.001  # no two scores can be mixed up


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_real_captions_score_what_nltk_and_rouge_score_give(metric):
    texts = pq.read_table(REAL / "text_pairs.parquet", columns=["text"])["text"].to_pylist()[::7]
    tokenizer = BertTokenizer(vocab=str(REAL / "scibert" / "vocab.txt"), do_lower_case=True)
    scores = compute(metric, (texts[1:], texts[:-1]), tokenizer=str(REAL / "scibert"), num_bootstrap=0)
    assert scores["num_captions"] >= 1000
    assert values(scores) == pytest.approx(direct(texts[1:], texts[:-1], tokenizer.tokenize), abs=1e-6)


def test_meteor_is_the_mean_of_what_nltk_gives(metric, pairs, has_wordnet):
    if not has_wordnet:
        pytest.skip("nltk finds no WordNet corpus")
    scores = compute(metric, pairs, num_bootstrap=50, compared_with={"swapped": pairs[1]})
    expected = [meteor_score([split(reference)], split(prediction)) for prediction, reference in zip(*pairs)]
    assert scores["meteor"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert scores["meteor_low"] < scores["meteor"] < scores["meteor_high"]
    assert scores["meteor_minus_swapped_high"] < 0
    assert "meteor_unavailable" not in scores


def test_meteor_by_hand(metric, has_wordnet):
    if not has_wordnet:
        pytest.skip("nltk finds no WordNet corpus")
    synonyms = compute(metric, (["The Car"], ["the auto"]), num_bootstrap=0)
    assert synonyms["meteor"] == 1 - 0.5 / 2**3  # two matches in one chunk
    longer = compute(metric, (["an acid"], ["a fatty acid"]), num_bootstrap=0)
    assert longer["meteor"] == pytest.approx(0.5 * (10 * 1 / 2 * 1 / 3) / (1 / 3 + 9 * 1 / 2))
    for captions in ([""], ["acid"]):
        assert compute(metric, (captions, [""]), num_bootstrap=0)["meteor"] == 0


def test_without_wordnet_meteor_is_none_with_its_remedy(metric, pairs, monkeypatch, tmp_path):
    wordnet._unload()  # nltk keeps loaded corpora until then
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    scores = compute(metric, pairs, num_bootstrap=20, compared_with={"other": pairs[1]})
    assert scores["meteor"] is None
    assert "python -m nltk.downloader wordnet" in scores["meteor_unavailable"]
    assert {key for key in scores if key.startswith("meteor")} == {"meteor", "meteor_unavailable"}
    assert scores["rouge_l_minus_other"] < 0


def test_counts_of_the_rows_sum_to_the_bleu_of_the_corpus(many_pairs):
    hypotheses, references = ([split(text) for text in texts] for texts in many_pairs)
    rows = _count_ngrams(hypotheses, references)
    assert rows.shape == (1200, 10)
    for times in (np.ones(1200), np.random.default_rng(3).multinomial(1200, [1 / 1200] * 1200)):
        drawn = np.repeat(np.arange(1200), times.astype(int))
        corpus = [[references[row]] for row in drawn], [hypotheses[row] for row in drawn]
        expected = [corpus_bleu(*corpus, weights=(0.5, 0.5)), corpus_bleu(*corpus, weights=(0.25,) * 4)]
        assert _score_sums((times @ rows)[None], 1200)[0] == pytest.approx(expected, abs=1e-12)


# -------------------------------------------------------------------------------------------- values calculated by hand


def test_bleu_by_hand(metric):
    scores = compute(metric, (["a b c d x", "e"], ["a b c d e f", "e g"]), num_bootstrap=0)
    brevity = np.exp(1 - 8 / 6)
    assert scores["bleu_2"] == pytest.approx(brevity * (5 / 6 * 3 / 5) ** (1 / 2))  # the lone e counts as one bigram
    assert scores["bleu_4"] == pytest.approx(brevity * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))


def test_swapping_the_sides_changes_bleu_and_not_rouge(metric, pairs):
    there, back = compute(metric, pairs, num_bootstrap=0), compute(metric, pairs[::-1], num_bootstrap=0)
    assert values(there)[2:] == pytest.approx(values(back)[2:], abs=1e-12)
    assert all(abs(a - b) > 0.01 for a, b in zip(values(there)[:2], values(back)[:2]))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a fatty acid anion", [1, 1, 1, 1, 1]),
        ("a fatty acid", [1, 0, 1, 1, 1]),
        ("acid", [0, 0, 1, 0, 1]),
        ("", [0, 0, 0, 0, 0]),
        ("α β γ δ", [1, 1, 0, 0, 0]),
        ("the β-D-glucoside, 1.2 Å, N′-acyl", [1, 1, 1, 1, 1]),
    ],
)
def test_identical_captions(metric, caption, expected):
    scores = compute(metric, ([caption], [caption]))
    assert values(scores) == values(scores, "_low") == values(scores, "_high") == expected


@pytest.mark.parametrize("pair", [("", "a fatty acid"), ("a fatty acid", ""), ("one two", "three four"), ("", "")])
def test_nothing_in_common_scores_zero_without_a_warning(metric, pair):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = compute(metric, ([pair[0]], [pair[1]]))
    assert values(scores) == values(scores, "_high") == [0] * 5


def test_rouge_separates_words_at_whatever_is_not_ascii(metric):
    scores = compute(metric, (["β-D-glucose, naïve"], ["d glucose na ve"]), num_bootstrap=0)
    assert values(scores)[2:] == [1, 1, 1]


# ------------------------------------------------------------------------------------------------------- tokenizers


def test_a_folder_of_a_vocabulary_is_lower_cased_word_pieces(metric, vocabulary_folder):
    pair = ["The MOLECULE is a βyl′-acid"], ["the molecule is a βyl′-acid"]
    for folder in (vocabulary_folder, str(vocabulary_folder)):
        assert values(compute(metric, pair, tokenizer=folder))[:2] == [1, 1]
    pieces = BertTokenizer(vocab=str(vocabulary_folder / "vocab.txt")).tokenize("fatty acidyl Zz")
    assert pieces == ["fatty", "acid", "##yl", "[UNK]"]
    scores = compute(metric, (["fatty acidyl Zz"], ["fatty acid"]), tokenizer=vocabulary_folder, num_bootstrap=0)
    assert scores["bleu_2"] == pytest.approx((2 / 4 * 1 / 3) ** (1 / 2))


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_scibert_lower_cases_and_strips_accents(metric):
    pair = ["The β-D-Glucoside of 1.2 Å"], ["the β-d-glucoside of 1.2 a"]
    assert compute(metric, pair, tokenizer=REAL / "scibert", num_bootstrap=0)["bleu_4"] == 1


def test_special_tokens_do_not_count(metric):
    padded = (["[CLS] a fatty acid anion [SEP] [PAD] [PAD]"], ["a fatty acid anion"])
    assert compute(metric, padded, tokenizer=str.split)["bleu_4"] == 1
    unknown = (["a fatty [UNK] anion"], ["a fatty anion"])
    assert compute(metric, unknown, tokenizer=str.split)["bleu_2"] == pytest.approx((3 / 4 * 1 / 3) ** (1 / 2))


def test_at_most_512_pieces_count(metric):
    words = [f"w{number}" for number in range(600)]
    same, cut = " ".join(words), " ".join(words[:512] + ["x"] * 88)
    assert compute(metric, ([same], [cut]), num_bootstrap=0)["bleu_4"] == 1
    short = " ".join(words[:511] + ["x"] * 89)
    assert compute(metric, ([same], [short]), num_bootstrap=0)["bleu_4"] < 1


# --------------------------------------------------------------------------------------------- intervals, differences


def test_intervals_contain_the_value_and_follow_the_seed(metric, pairs):
    scores = compute(metric, pairs, seed=3)
    for value, low, high in zip(values(scores), values(scores, "_low"), values(scores, "_high")):
        assert low < value < high
    assert compute(metric, pairs, seed=3) == scores
    other = compute(metric, pairs, seed=4)
    assert values(other) == values(scores)
    assert values(other, "_low") != values(scores, "_low")


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error(metric):
    hits = np.random.default_rng(5).random(400) < 0.3
    scores = compute(metric, (["acid" if hit else "ester" for hit in hits], ["acid"] * 400))
    width = 2 * 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert scores["rouge_1"] == hits.mean()
    assert scores["rouge_1_high"] - scores["rouge_1_low"] == pytest.approx(width, rel=0.1)


def test_without_resamples_there_are_no_intervals(metric, pairs):
    scores = compute(metric, pairs, num_bootstrap=0, compared_with={"other": pairs[1]})
    assert not [key for key in scores if key.endswith(("_low", "_high"))]
    assert scores["bleu_4_minus_other"] == scores["bleu_4"] - 1


def test_the_difference_to_itself_is_zero(metric, pairs):
    scores = compute(metric, pairs, compared_with={"itself": pairs[0]})
    for end in ("", "_low", "_high"):
        assert values(scores, f"_minus_itself{end}") == [0] * 5


def test_differences_are_paired(metric, pairs):
    """One caption in ten is corrected: a small gain, significant only because both are scored on the same rows."""
    better = [pairs[1][row] if row % 10 == 0 else caption for row, caption in enumerate(pairs[0])]
    scores = compute(metric, (better, pairs[1]), compared_with={"blind": pairs[0], "perfect": pairs[1]})
    blind = compute(metric, pairs)
    for name in NAMES:
        assert scores[f"{name}_minus_blind"] == pytest.approx(scores[name] - blind[name], abs=1e-12)
        assert 0 < scores[f"{name}_minus_blind_low"] < scores[f"{name}_minus_blind"]
        assert scores[f"{name}_minus_blind"] < scores[f"{name}_minus_blind_high"]
        assert scores[f"{name}_minus_perfect_high"] < 0
    paired = scores["rouge_1_minus_blind_high"] - scores["rouge_1_minus_blind_low"]
    own, other = (result["rouge_1_high"] - result["rouge_1_low"] for result in (scores, blind))
    assert paired < 0.9 * np.hypot(own, other)


# -------------------------------------------------------------------------------------------------------- invalid input


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        ([], [], {}, "are empty.*at least one caption"),
        (["a"], ["a", "b"], {}, "predictions contain 1 rows and references 2"),
        (["a", None, None], ["a", "b", "c"], {}, "predictions contain 2 rows that are not strings, first row 1: None"),
        (["a", "b"], ["a", 5], {}, "references contain 1 rows that are not strings, first row 1: 5"),
        (["a", float("nan")], ["a", "b"], {}, "predictions contain 1 rows.*first row 1: nan"),
        ([["a"]], ["a"], {}, r"predictions contain 1 rows.*first row 0: \['a'\]"),
        ("ab", "cd", {}, "references are 'cd'; pass a list"),
        (["a"], None, {}, "references are None; pass a list"),
        (["a"], ["a"], {"tokenizer": None}, "tokenizer is None; pass a function"),
        (["a"], ["a"], {"tokenizer": "/absent"}, "'/absent' cannot be loaded; pass a function"),
        (["a", "b"], ["a", "b"], {"tokenizer": lambda text: text}, "tokenizer returns a for row 0, 'a'.*`tokenize`"),
        (["a"], ["a"], {"tokenizer": lambda text: [1, 2]}, r"tokenizer returns \[1, 2\] for row 0"),
        (["a"], ["a"], {"num_bootstrap": -1}, "num_bootstrap=-1 must be at least 0"),
        (["a"], ["a"], {"compared_with": {"blind": []}}, r"compared_with\['blind'\] contain 0 rows and references 1"),
        (["a"], ["a"], {"compared_with": {"blind": [None]}}, r"compared_with\['blind'\] contain 1 rows.*row 0: None"),
    ],
)
def test_bad_input_is_refused(metric, predictions, references, options, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        compute(metric, (predictions, references), **options)
    assert compute(metric, (["a b c d"], ["a b c d"]))["bleu_4"] == 1  # still usable after the error


def test_a_folder_without_a_vocabulary_is_refused(metric, vocabulary_folder):
    (vocabulary_folder / "vocab.txt").unlink()
    with pytest.raises(ValueError, match="has special tokens only; add its vocabulary file"):
        compute(metric, (["a"], ["a"]), tokenizer=vocabulary_folder)


# -------------------------------------------------------------------------------------------------- documented examples


def test_the_documented_example_runs(metric, monkeypatch):
    monkeypatch.chdir(ROOT)
    example = doctest.DocTestParser().get_doctest(metric.inputs_description, {"evaluate": evaluate}, "example", None, 0)
    assert doctest.DocTestRunner().run(example) == (0, 4)


def test_the_example_of_the_card_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(block, names)
    assert names["scores"]["rouge_l_minus_blind"] > 0
