"""BLEU, ROUGE and METEOR of molecule captions, with confidence intervals and paired differences from other systems.

    metric = evaluate.load("eval/metrics/molecule_captioning")
    metric.compute(predictions=captions, references=texts, tokenizer="allenai/scibert_scivocab_uncased")

eval/metrics/molecule_captioning/README.md defines each value.
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
    raise ImportError("this metric needs nltk and rouge_score; run `pip install nltk rouge_score`") from error

SCORES = ("bleu_2", "bleu_4", "rouge_1", "rouge_2", "rouge_l", "meteor")
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
BLEU_ORDERS = (2, 4)
MAX_ORDER = max(BLEU_ORDERS)
MAX_PIECES = 512
SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]")
NO_WORDNET = (
    "METEOR needs the WordNet corpus, which nltk cannot find; run `python -m nltk.downloader wordnet`, "
    "or set the environment variable NLTK_DATA to the folder that contains corpora/wordnet"
)

_DESCRIPTION = "BLEU-2, BLEU-4, ROUGE-1, ROUGE-2, ROUGE-L and METEOR of molecule captions, with bootstrap intervals."
_INPUTS = """
Args:
    predictions: one generated caption per row; an empty caption scores 0.
    references: one reference caption per row; row i belongs to row i of `predictions`.
    tokenizer: tokenizer for BLEU and METEOR: a function from a string to a list of strings, or the folder or Hub id of
        a transformers tokenizer.
    num_bootstrap: number of bootstrap resamples of the rows for the 95 % intervals; 0 omits the intervals.
    seed: random seed of the bootstrap.
    compared_with: captions of other systems for the same rows, as {name: [string per row]}.
Returns:
    A flat dict with bleu_2, bleu_4, rouge_1, rouge_2, rouge_l and meteor, floats from 0 to 1, each with _low and _high;
    `{score}_minus_{name}`, each with _low and _high, for every name in `compared_with`; and num_captions, an int.
    Without the WordNet corpus, meteor is None and has neither an interval nor differences, and meteor_unavailable
    gives the remedy.
Raises:
    ValueError: if rows are missing, are not strings or differ in number, or if the tokenizer cannot be loaded or does
        not return a list of strings.
Examples:
    >>> metric = evaluate.load("eval/metrics/molecule_captioning")
    >>> captions, texts = ["It is a fatty acid."], ["It is a long-chain fatty acid."]
    >>> scores = metric.compute(predictions=captions, references=texts, tokenizer=str.split)
    >>> round(scores["rouge_1"], 3)  # 5 words of 5 and of 7
    0.833
"""


class MoleculeCaptioning(evaluate.Metric):
    """BLEU, ROUGE and METEOR of captions; see `inputs_description`.

    `evaluate` stores predictions and references as strings. The captions in `compared_with` go to `compute` unchanged.
    """

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
        """Check that all captions are strings, then add them.

        The base class would store None as it is, and convert 5 to "5" and NaN to "nan".
        """
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
        raise ValueError(f"{name} are {repr(captions)[:40]}; pass a list with one string per row")
    captions = list(captions)
    bad = [row for row, caption in enumerate(captions) if not isinstance(caption, str)]
    if bad:
        raise ValueError(
            f"{name} contain {len(bad)} rows that are not strings, first row {bad[0]}: {captions[bad[0]]!r}; "
            'pass a string for every row and "" for an empty caption'
        )
    if num_references not in (None, len(captions)):
        raise ValueError(
            f"{name} contain {len(captions)} rows and references {num_references}; "
            "the numbers must be equal, and row i of both must describe the same molecule"
        )
    return captions


def _draw_rows(num_rows: int, num_bootstrap: int, seed: int) -> np.ndarray:
    """Return how often each resample draws each row, (1 + resamples, rows) float64.

    The first line is all ones: it stands for the original rows.
    """
    if num_rows == 0:
        raise ValueError("predictions and references are empty; pass at least one caption")
    if num_bootstrap < 0:
        raise ValueError(f"num_bootstrap={num_bootstrap} must be at least 0; 0 omits the intervals")
    drawn = np.random.default_rng(seed).multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=num_bootstrap)
    return np.vstack([np.ones(num_rows), drawn])


def _load_tokenizer(tokenizer: Callable[[str], list[str]] | str | PathLike) -> Callable[[str], list[str]]:
    if callable(tokenizer):
        return tokenizer
    remedy = "pass a function from a string to a list of strings, or the folder or Hub id of a transformers tokenizer"
    if not isinstance(tokenizer, str | PathLike):
        raise ValueError(f"tokenizer is {tokenizer!r}; {remedy}")
    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise ValueError(f"tokenizer {str(tokenizer)!r} cannot be loaded; {remedy}") from error
    if len(loaded) <= len(loaded.all_special_tokens):  # transformers accepts a folder without a vocabulary
        raise ValueError(f"tokenizer {str(tokenizer)!r} has special tokens only; add its vocabulary file")
    return loaded.tokenize


def _split(captions: Sequence[str], tokenize: Callable[[str], list[str]]) -> list[list[str]]:
    """Tokenize each caption, drop special tokens and truncate to `MAX_PIECES` tokens."""
    splits = []
    for row, caption in enumerate(captions):
        pieces = tokenize(caption)
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            raise ValueError(
                f"tokenizer returns {str(pieces)[:40]} for row {row}, {caption[:40]!r}; it must return a list of "
                "strings; for a transformers tokenizer, pass its method `tokenize`"
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
    """Count the clipped matches of 1- to 4-grams, the totals of 1- to 4-grams, and both lengths, (rows, 10).

    Corpus BLEU depends only on the sums of these counts. With a single reference, its length is the closest length.
    """
    rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        precisions = [modified_precision([reference], prediction, order) for order in range(1, MAX_ORDER + 1)]
        matches, totals = [p.numerator for p in precisions], [p.denominator for p in precisions]
        rows.append([*matches, *totals, len(prediction), len(reference)])
    return np.array(rows)


def _score_rouge(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return the F1 of ROUGE-1, ROUGE-2 and ROUGE-L, (rows, 3)."""
    scorer = RougeScorer(ROUGE_TYPES)
    rows = [scorer.score(*pair) for pair in zip(references, predictions, strict=True)]
    return np.array([[row[rouge_type].fmeasure for rouge_type in ROUGE_TYPES] for row in rows])


def _score_meteor(predictions: list[list[str]], references: list[list[str]]) -> np.ndarray:
    """Return METEOR, (rows, 1)."""
    pairs = zip(references, predictions, strict=True)
    return np.array([[meteor_score([reference], prediction)] for reference, prediction in pairs])


def _score_sums(sums: np.ndarray, num_rows: int) -> np.ndarray:
    """Convert sums over rows, (resamples, 10 + means), to BLEU-2, BLEU-4 and means, (resamples, 2 + means).

    BLEU comes from the first ten columns; the other columns are averaged.
    Source: Papineni et al., ACL 2002, section 2.3. Unlike nltk, this scores all resamples at once, and BLEU is 0 if an
    order has no match; nltk warns and uses the smallest float as that precision.
    """
    matches, totals, lengths, others = np.split(sums, np.cumsum([MAX_ORDER, MAX_ORDER, 2]), axis=1)
    prediction_lengths, reference_lengths = lengths.T
    brevity = np.exp(np.minimum(0, 1 - reference_lengths / np.maximum(prediction_lengths, 1)))
    precisions = matches / totals
    bleu = [brevity * precisions[:, :order].prod(axis=1) ** (1 / order) for order in BLEU_ORDERS]
    return np.column_stack([*bleu, others / num_rows])


def _summarise(scores: np.ndarray, what: str) -> dict[str, float]:
    """Return the scores of the original rows and, if there are resamples, the interval bounds.

    `scores` is (1 + resamples, scores), the original rows first; `what` goes between a score's name and its suffix.
    """
    columns = {"": scores[0]}
    if len(scores) > 1:
        columns["_low"], columns["_high"] = np.percentile(scores[1:], (2.5, 97.5), axis=0)
    return {
        f"{score}{what}{end}": float(value)
        for end, values in columns.items()
        for score, value in zip(SCORES, values)  # METEOR comes last and may be absent
    }
