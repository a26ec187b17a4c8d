"""BLEU, ROUGE and METEOR of molecule captions, with intervals and the difference to other systems.

    metric = evaluate.load("eval/metrics/molecule_captioning")
    metric.compute(predictions=captions, references=texts, tokenizer="allenai/scibert_scivocab_uncased")

eval/metrics/molecule_captioning/README.md defines every number.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike

import datasets
import evaluate
import numpy as np
from transformers import AutoTokenizer

try:
    from nltk.corpus import wordnet
    from nltk.translate.bleu_score import modified_precision
    from nltk.translate.meteor_score import meteor_score
    from rouge_score.rouge_scorer import RougeScorer
except ImportError as error:
    raise ImportError("this metric needs nltk and rouge_score; pip install nltk rouge_score") from error

SCORES = ("bleu_2", "bleu_4", "rouge_1", "rouge_2", "rouge_l", "meteor")
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
BLEU_ORDERS = (2, 4)
MAX_ORDER = max(BLEU_ORDERS)
MAX_PIECES = 512
SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]")
NO_WORDNET = (
    "METEOR needs the WordNet corpus and nltk does not find it; run `python -m nltk.downloader wordnet`, "
    "or let the environment variable NLTK_DATA name the folder above corpora/wordnet"
)

_DESCRIPTION = "BLEU-2, BLEU-4, ROUGE-1, ROUGE-2, ROUGE-L and METEOR of molecule captions, with bootstrap intervals."
_INPUTS = """
Args:
    predictions: string per row; it may be empty and then scores 0.
    references: string per row; what row i of `predictions` should say.
    tokenizer: whose pieces BLEU and METEOR count: a function from a string to a list of strings, or the folder or
        Hub id of a transformers tokenizer.
    num_bootstrap: resamples of the rows for the 95 % intervals; 0 leaves the intervals out.
    seed: of the bootstrap.
    compared_with: other systems' captions of the same rows, {name: [string per row]}.
Returns:
    Flat dict: bleu_2, bleu_4, rouge_1, rouge_2, rouge_l and meteor, floats from 0 to 1; each with _low and _high;
    `{score}_minus_{name}`, each with _low and _high, for every name in `compared_with`; num_captions, an int. Without
    the WordNet corpus meteor is None, has no interval and no difference, and meteor_unavailable says what to do.
Raises:
    ValueError: on rows that are missing, unequal in number or no strings, and on a tokenizer that is unknown or returns
        no list of strings.
Examples:
    >>> metric = evaluate.load("eval/metrics/molecule_captioning")
    >>> captions, texts = ["It is a fatty acid."], ["It is a long-chain fatty acid."]
    >>> scores = metric.compute(predictions=captions, references=texts, tokenizer=str.split)
    >>> round(scores["rouge_1"], 3)  # 5 words of 5 and of 7
    0.833
"""


class MoleculeCaptioning(evaluate.Metric):
    """See `inputs_description`. Captions travel as strings; the other systems' are handed to `compute` as they are."""

    def _info(self) -> evaluate.MetricInfo:
        caption = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": caption, "references": caption}),
        )

    def add_batch(
        self, *, predictions: Sequence[str] | None = None, references: Sequence[str] | None = None, **kwargs
    ) -> None:
        """Refuses what is no string here, because the base class stores None and turns 5 into "5", NaN into "nan"."""
        references = _list_captions(references, "references")
        predictions = _list_captions(predictions, "predictions", len(references))
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        tokenizer: Callable[[str], list[str]] | str | PathLike,
        num_bootstrap: int = 1000,
        seed: int = 0,
        compared_with: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, float | int | str | None]:
        others = {
            name: _list_captions(captions, f"compared_with[{name!r}]", len(references))
            for name, captions in (compared_with or {}).items()
        }
        times = _draw_rows(len(references), num_bootstrap, seed)
        tokenize, has_wordnet = _load_tokenizer(tokenizer), _find_wordnet()
        reference_pieces = _split(references, tokenize)

        def score(captions: Sequence[str]) -> np.ndarray:
            pieces = _split(captions, tokenize)
            columns = [_count_ngrams(pieces, reference_pieces), _score_rouge(captions, references)]
            if has_wordnet:
                columns.append(_score_meteor(pieces, reference_pieces))
            return _score_sums(times @ np.hstack(columns), len(references))

        own = score(predictions)
        results = _summarise(own, "")
        for name, captions in others.items():
            results |= _summarise(own - score(captions), f"_minus_{name}")
        missing = {} if has_wordnet else {"meteor": None, "meteor_unavailable": NO_WORDNET}
        return results | missing | {"num_captions": len(references)}


def _list_captions(captions: Iterable[str] | None, name: str, num_references: int | None = None) -> list[str]:
    if isinstance(captions, str) or not isinstance(captions, Iterable):
        raise ValueError(f"{name} are {repr(captions)[:40]}; give a list with one string per row")
    captions = list(captions)
    bad = [row for row, caption in enumerate(captions) if not isinstance(caption, str)]
    if bad:
        raise ValueError(
            f"{name} hold {len(bad)} rows that are no strings, first row {bad[0]}: {captions[bad[0]]!r}; "
            'give every row a string, an empty caption as ""'
        )
    if num_references not in (None, len(captions)):
        raise ValueError(
            f"{name} hold {len(captions)} rows and references {num_references}; "
            "they must be equal, row i of both about the same molecule"
        )
    return captions


def _draw_rows(num_rows: int, num_bootstrap: int, seed: int) -> np.ndarray:
    """(1 + resamples, rows) float64: how often each row counts; once in the first, which is the set itself."""
    if num_rows == 0:
        raise ValueError("predictions and references are empty; give at least one caption")
    if num_bootstrap < 0:
        raise ValueError(f"num_bootstrap={num_bootstrap} must be at least 0; 0 leaves the intervals out")
    drawn = np.random.default_rng(seed).multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=num_bootstrap)
    return np.vstack([np.ones(num_rows), drawn])


def _load_tokenizer(tokenizer: Callable[[str], list[str]] | str | PathLike) -> Callable[[str], list[str]]:
    if callable(tokenizer):
        return tokenizer
    remedy = "give a function from a string to a list of strings, or the folder or Hub id of a transformers tokenizer"
    if not isinstance(tokenizer, str | PathLike):
        raise ValueError(f"tokenizer is {tokenizer!r}; {remedy}")
    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise ValueError(f"tokenizer {str(tokenizer)!r} cannot be loaded; {remedy}") from error
    if len(loaded) <= len(loaded.all_special_tokens):  # what transformers makes of a folder without a vocabulary
        raise ValueError(f"tokenizer {str(tokenizer)!r} knows special tokens only; add its vocabulary file")
    return loaded.tokenize


def _split(captions: Sequence[str], tokenize: Callable[[str], list[str]]) -> list[list[str]]:
    """The pieces of each caption, without special tokens, cut to the number that counts."""
    splits = []
    for row, caption in enumerate(captions):
        pieces = tokenize(caption)
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            raise ValueError(
                f"tokenizer returns {str(pieces)[:40]} for row {row}, {caption[:40]!r}, where it must return a list of "
                "strings; of a transformers tokenizer give the method `tokenize`"
            )
        splits.append([piece for piece in pieces if piece not in SPECIAL_TOKENS][:MAX_PIECES])
    return splits


def _find_wordnet() -> bool:
    try:
        wordnet.ensure_loaded()
    except LookupError:
        return False
    return True


def _count_ngrams(predictions: list[list[str]], references: list[list[str]]) -> np.ndarray:
    """(rows, 10): clipped matches of 1- to 4-grams, their totals, lengths of prediction and reference.

    A corpus BLEU depends on its rows through the sums of these alone. With one reference the closest is that one.
    """
    rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        precisions = [modified_precision([reference], prediction, order) for order in range(1, MAX_ORDER + 1)]
        matches, totals = [p.numerator for p in precisions], [p.denominator for p in precisions]
        rows.append([*matches, *totals, len(prediction), len(reference)])
    return np.array(rows)


def _score_rouge(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(rows, 3): F1 of ROUGE-1, ROUGE-2 and ROUGE-L."""
    scorer = RougeScorer(ROUGE_TYPES)
    rows = [scorer.score(*pair) for pair in zip(references, predictions, strict=True)]
    return np.array([[row[rouge_type].fmeasure for rouge_type in ROUGE_TYPES] for row in rows])


def _score_meteor(predictions: list[list[str]], references: list[list[str]]) -> np.ndarray:
    """(rows, 1)."""
    pairs = zip(references, predictions, strict=True)
    return np.array([[meteor_score([reference], prediction)] for reference, prediction in pairs])


def _score_sums(sums: np.ndarray, num_rows: int) -> np.ndarray:
    """(resamples, 10 + means) sums over rows -> (resamples, 2 + means): BLEU of the first ten, means of the others.

    Source: Papineni et al., ACL 2002, section 2.3. Differs from nltk: an array at once, and 0 where an order has no
    match, where nltk warns and takes the smallest float for its precision.
    """
    matches, totals, lengths, others = np.split(sums, np.cumsum([MAX_ORDER, MAX_ORDER, 2]), axis=1)
    prediction_lengths, reference_lengths = lengths.T
    brevity = np.exp(np.minimum(0, 1 - reference_lengths / np.maximum(prediction_lengths, 1)))
    precisions = matches / totals
    bleu = [brevity * precisions[:, :order].prod(axis=1) ** (1 / order) for order in BLEU_ORDERS]
    return np.column_stack([*bleu, others / num_rows])


def _summarise(scores: np.ndarray, what: str) -> dict[str, float]:
    """(1 + resamples, scores) -> values of the set itself and, where there are resamples, the ends of the intervals."""
    columns = {"": scores[0]}
    if len(scores) > 1:
        columns["_low"], columns["_high"] = np.percentile(scores[1:], (2.5, 97.5), axis=0)
    return {
        f"{score}{what}{end}": float(value)
        for end, values in columns.items()
        for score, value in zip(SCORES, values)  # METEOR, the last, may be absent
    }
