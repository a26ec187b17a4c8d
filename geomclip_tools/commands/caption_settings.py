"""Settings of `geomclip caption`."""

from dataclasses import dataclass, field, fields

from ..evaluation.caption_reranking import DEFAULT_WEIGHTS, Weights
from ..loading import check_kind, read_config
from .molecules import ENCODING_HELP, MOLECULES_HELP, check_output

CAPTIONER_FLAGS = ("geomclip", "num_drafts", "draft_weight", "num_beams", "max_new_tokens", "batch_size")


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Settings of `geomclip caption`."""

    model: str = field(
        metadata={
            "help": "a GeomCLIP, which copies the best of the captions of the 30 most similar --references; or a "
            "captioner, which writes captions: checkpoint folder, adapter folder or Hub id"
        }
    )
    molecules: list[str] = field(metadata={"help": MOLECULES_HELP})
    output: str = field(metadata={"help": "output file: .csv, .parquet or .jsonl"})
    references: str | None = field(
        default=None,
        metadata={
            "help": "table, dataset folder or Hub id with molecules and texts; required with a GeomCLIP. A captioner "
            "uses its own if omitted"
        },
    )
    geomclip: str | None = field(
        default=None,
        metadata={"help": "GeomCLIP that measures the similarity of caption and geometry; only with a captioner"},
    )
    num_drafts: int | None = field(
        default=None,
        metadata={
            "help": "number of captions that the captioner drafts, the best beams if more than one; the best of them "
            "and of the captions of the 30 most similar references is taken. If omitted, the first draft is taken"
        },
    )
    draft_weight: float = field(
        default=DEFAULT_WEIGHTS.drafts,
        metadata={"help": "weight of a caption's overlap with the drafts, beside 1 for that with the references"},
    )
    similarity_weight: float = field(
        default=DEFAULT_WEIGHTS.similarity,
        metadata={"help": "weight of the similarity of caption and geometry by the GeomCLIP, if there is one"},
    )
    agreement_weight: float = field(
        default=DEFAULT_WEIGHTS.agreement,
        metadata={"help": "penalty for each contradiction between a caption and the geometry's elements or rings"},
    )
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    batch_size: int = field(default=32, metadata={"help": "molecules per batch of a captioner"})
    num_beams: int = field(default=1, metadata={"help": "number of beams of a captioner; 1 is greedy decoding"})
    max_new_tokens: int | None = field(
        default=None,
        metadata={"help": "maximum length of a captioner's caption in tokens; if omitted, that of the captioner"},
    )

    def __post_init__(self):
        check_output(self.output, (".csv", ".parquet", ".jsonl"))
        for name in ("num_drafts", "num_beams", "batch_size", "max_new_tokens"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"--{name} is {number}; it must be at least 1")

    @property
    def weights(self) -> Weights:
        """Weights of the scores by which candidates are chosen."""
        return Weights(1.0, self.draft_weight, self.similarity_weight, self.agreement_weight)


def is_geomclip(settings: CaptionSettings) -> bool:
    """Return whether the model is a GeomCLIP, which copies captions, or else a captioner.

    Raises:
        ValueError: it is neither, or settings are missing or have no effect.
    """
    kind = read_config(settings.model).model_type
    if kind not in ("geomclip", "geomclip_captioning"):
        raise ValueError(f"{settings.model} is a {kind}, which makes no captions; pass a GeomCLIP or a captioner")
    (_check_copying if kind == "geomclip" else _check_writing)(settings)
    return kind == "geomclip"


def _check_copying(settings: CaptionSettings) -> None:
    """Check the settings for a GeomCLIP."""
    if settings.references is None:
        raise ValueError(
            f"{settings.model} is a GeomCLIP, which copies captions; pass --references, a table of molecules and texts"
        )
    defaults = {item.name: item.default for item in fields(CaptionSettings)}
    if unused := [f"--{name}" for name in CAPTIONER_FLAGS if getattr(settings, name) != defaults[name]]:
        raise ValueError(f"{settings.model} is a GeomCLIP, which does not use {', '.join(unused)}; omit these flags")


def _check_writing(settings: CaptionSettings) -> None:
    """Check the settings for a captioner."""
    if settings.num_drafts is None and (settings.weights != DEFAULT_WEIGHTS or settings.geomclip is not None):
        raise ValueError("without --num_drafts, no caption is chosen by weights; pass --num_drafts")
    if settings.geomclip is not None:
        check_kind(settings.geomclip, "geomclip", "does not embed molecules and texts; pass a GeomCLIP")
    elif settings.similarity_weight not in (0, DEFAULT_WEIGHTS.similarity):
        raise ValueError("--similarity_weight needs a GeomCLIP that measures the similarity; pass --geomclip")
