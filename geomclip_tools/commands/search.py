"""`geomclip search`: find molecules of an index by texts and by molecules, or texts that fit a molecule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_geomclip import MoleculeError

from ..library import MoleculeIndex
from ..library.formats import FORMATS, format_rows
from .embed import list_texts
from .index import INDEX_HELP, MODEL_HELP, WHERE_HELP
from .molecules import ENCODING_HELP, MOLECULES_HELP, Given, count_things, list_given
from .parsing import name_leading_words, parse_flags

EXAMPLE = 'geomclip search "a monoterpenoid with a minty odour" --index my_library'
BOTH_ALIKE = 0.5  # weight of a molecule beside a text
OF_SEARCHES = ("where", "substructure", "exact")  # settings that a ranking of texts does not use


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of `geomclip search`."""

    index: str = field(metadata={"help": INDEX_HELP})
    query: list[str] = field(
        default_factory=list,
        metadata={
            "help": "what the molecules should be: texts, or files of texts, as for `geomclip embed`; may also stand "
            "before all flags"
        },
    )
    molecule: list[str] = field(
        default_factory=list, metadata={"help": f"molecules whose nearest are wanted: {MOLECULES_HELP}"}
    )
    texts: list[str] = field(
        default_factory=list,
        metadata={"help": "rank these texts, or files of texts, by how well they fit --molecule, instead of a search"},
    )
    weight: float = field(default=BOTH_ALIKE, metadata={"help": "weight of the molecule beside a text, from 0 to 1"})
    where: str | None = field(default=None, metadata={"help": WHERE_HELP})
    substructure: str | None = field(default=None, metadata={"help": "SMARTS that the molecules must contain"})
    top: int = field(default=20, metadata={"help": "number of results per query"})
    exact: bool = field(default=False, metadata={"help": "compare all molecules, even if there is a faster index"})
    format: str | None = field(
        default=None,
        metadata={"help": f"{', '.join(FORMATS)}; if omitted, that of the ending of --output, or else table"},
    )
    output: str | None = field(default=None, metadata={"help": "output file; printed if omitted"})
    model: str | None = field(default=None, metadata={"help": MODEL_HELP})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})

    def __post_init__(self):
        if not (self.query or self.molecule):
            raise ValueError("pass a text to search for, --molecule, or both")
        if self.texts and (self.query or not self.molecule):
            raise ValueError("--texts ranks texts for --molecule; pass --molecule and no other query")
        if self.texts and (unused := [f"--{name}" for name in OF_SEARCHES if getattr(self, name)]):
            raise ValueError(f"--texts ranks texts and does not use {', '.join(unused)}; omit these flags")
        if self.weight != BOTH_ALIKE and not (self.query and self.molecule):
            raise ValueError("--weight has an effect only with both a text and --molecule; omit it")
        if self.format not in (None, *FORMATS):
            raise ValueError(f"--format is {self.format!r}; it must be one of {', '.join(FORMATS)}")
        ending = Path(self.output or "").suffix.lower()[1:]
        if self.format and ending in FORMATS and ending != self.format:
            raise ValueError(f"--format is {self.format}, but --output ends in .{ending}; omit --format, or rename it")
        if not self.format and ending not in ("", "txt", *FORMATS):
            endings = ", ".join(f".{kind}" for kind in FORMATS if kind != "table")
            raise ValueError(f"--output ends in .{ending}; it must be one of {endings} or .txt, or pass --format")
        if self.texts and self.chosen_format == "sdf":
            raise ValueError("--format sdf is for molecules; choose another one for --texts")

    @property
    def chosen_format(self) -> str:
        """Format of the results."""
        ending = Path(self.output or "").suffix.lower()[1:]
        return self.format or (ending if ending in FORMATS else "table")


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "search")) -> None:
    """Search an index and print the results or write them to a file."""
    settings = parse_flags(SearchSettings, name_leading_words(argv, "--query"), " ".join(command), EXAMPLE)
    queries = list_queries(settings)
    texts = _read_texts(settings.texts, settings.encoding)
    index = MoleculeIndex.open(settings.index, settings.model)
    rows = [row for text, molecule in queries for row in _answer(index, text, molecule, texts, settings)]
    if len(queries) == 1:
        rows = [{name: cell for name, cell in row.items() if name != "query"} for row in rows]
    shown = format_rows(rows, settings.chosen_format)
    if settings.output is None:
        print(shown, end="" if rows else "no molecule fulfils the conditions\n")
        return
    Path(settings.output).parent.mkdir(parents=True, exist_ok=True)
    Path(settings.output).write_text(shown, encoding="utf-8")
    of = count_things(len(queries), "query", "queries")
    print(f"wrote {count_things(len(rows), 'result')} of {of} to {settings.output}")


def list_queries(settings: SearchSettings) -> list[tuple[str | None, Given | None]]:
    """Return the queries: texts, molecules, or pairs of both, of which one may stand for all.

    Raises:
        ValueError: there are several texts and several molecules, but not as many of both; or one cannot be read.
    """
    texts = _read_texts(settings.query, settings.encoding)
    molecules = list_given(settings.molecule, settings.encoding) if settings.molecule else []
    number = max(len(texts), len(molecules))
    if {len(texts), len(molecules)} - {0, 1, number}:
        raise ValueError(
            f"there are {len(texts)} texts and {len(molecules)} molecules; pass one of either, or equal numbers"
        )
    return [(_pick(texts, place), _pick(molecules, place)) for place in range(number)]


def _pick(things: Sequence[Any], place: int) -> Any:
    return things[min(place, len(things) - 1)] if things else None


def _read_texts(items: Sequence[str], encoding: str) -> list[str]:
    texts = list_texts(items, encoding) if items else []
    if fault := next((text.fault for text in texts if text.fault), ""):
        raise ValueError(f"a text cannot be read: {fault}")
    return [text.text for text in texts]


def _answer(
    index: MoleculeIndex, text: str | None, molecule: Given | None, texts: Sequence[str], settings: SearchSettings
) -> Iterator[dict[str, Any]]:
    """Yield the results of a query as rows."""
    query = " + ".join(part for part in (text, molecule and molecule.name) if part)
    given = molecule and molecule.molecule
    try:
        if texts:
            found = index.rank_texts(given, texts).select(range(min(settings.top, len(texts))))
        else:
            conditions = (settings.where, settings.substructure, settings.exact)
            found = index.search(text, given, settings.weight, settings.top, *conditions)
    except MoleculeError as error:
        raise ValueError(f"the molecule {molecule.name}: {error.reason}") from error
    for row in found:
        yield {"query": query, **row}
