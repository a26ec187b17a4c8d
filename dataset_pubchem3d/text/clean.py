"""Clean the texts of rows: put them on one line, replace their subject by "The molecule", and determine their kind.

`replace_subject` replaces a name of the molecule by "The molecule" only where the name is the subject of a sentence.
Blind replacement damages other words (PCdes, doi:10.1038/s41467-022-28494-3, contains "conjugate base of a ite(1+)").
The name must

- be at the start of the text, a line or a sentence, preceded at most by an article and "Pure ",
- be complete: "Examplamine hydrochloride is" describes another substance than "Examplamine",
- be followed by one of `VERBS`, optionally after one of `ADVERBS`. Between name and verb there may be another name or
  an abbreviation in parentheses, and then one apposition between commas that begins with one of `APPOSITIONS`; both are
  kept. Anything else could make it another substance: "(anhydrous)", "(II)", ", solution,".

Case is ignored, and longer names are tried first. Names of fewer than three characters or without a letter are replaced
only at the start of the text and in their exact case. `NEVER_NAMES`, which occur among PubChem's synonyms, are never
replaced. Names before a plural verb ("Examplamines are", "Examplamine and its salts were") are kept, because they
denote a class or several substances; so are names elsewhere in a sentence. Verbs that are also nouns ("forms") are
accepted only as part of a phrase.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..records import RecordError

SUBJECT = "The molecule"

# Verbs of MoleculeSTM (doi:10.1038/s42256-023-00759-6), in the singular, and of other descriptions in PubChem.
VERBS = (
    "acted|activates|acts|affects|antagonizes|appeared|appears|arises from|became|becomes|belonged|belongs|binds|"
    "blocks the|boils|burns|can|cannot|caused|causes|comes from|consists|contained|contains|could|crosses|"
    "decomposes|decreases the|demonstrated|demonstrates|derived|derives|did|differs|dissolves|does|enhances|enters|"
    "exhibited|exhibits|existed|exists|forms an?|functions as|functions by|had|has|ignites|increases the|induced|"
    "induces|inhibited|inhibits|interacts|interferes|irritates|is|lacks|may|melts|might|must|occurred|occurs|"
    "participates|plays|possesses|prevents|produced|produces|provides|reacts|reduces|refers|remains|represents|"
    "resembles|results from|serves|should|shows an?|stands for|stimulates|suppresses|targets the|undergoes|was|will|"
    "works as|works by|would"
)
ADVERBS = "also|commonly|currently|frequently|generally|mainly|normally|now|often|only|primarily|rarely|usually"
APPOSITIONS = "a|abbreviated|also|an|commonly|formerly|known|marketed|or|previously|sold|the|which"
NEVER_NAMES = re.compile("another|one|other|she|such|that|the|there|these|they|this|those|which|who", re.IGNORECASE)
ABBREVIATIONS = (
    "al|approx|ca|cf|cv|dr|eq|fig|incl|nov|no|nr|resp|sect|sp|spp|ssp|st|str|subsp|syn|var|viz|vol|vs"
    r"|(?:[^\W\d_]\.)*[^\W\d_]"  # initials
)

OPENING = re.compile(r"(?:(?:the|an?) )?(?:pure )?", re.IGNORECASE)
PARENTHESES = re.compile(r" \(([^()\n]{2,100})\)")
ABBREVIATION_OF_NAME = re.compile(r"(?![IVX]+$)[A-Z][A-Z0-9-]{1,14}")
PREDICATE = re.compile(
    rf"(?:, (?:{APPOSITIONS}) (?:[^.;\n]|\.(?! )){{1,150}}?,)?(?: (?:{ADVERBS}))? (?:{VERBS})(?![\w'’-])", re.IGNORECASE
)
NO_SENTENCE_END = re.compile(rf"[(\[]*(?:{ABBREVIATIONS})", re.IGNORECASE)
CITATION = r"\([A-Z][^()\n]{0,60}, \d{4}\)|\([A-Z]{1,4}\d+(?:, [A-Z]\d+)*\)"
SENTENCE_END = re.compile(rf"[.!?][)\]\"'”’]? (?:(?:{CITATION})\.? )?|\n")

# Patterns for the kind of a text: in the name of its source, or else in the text. The first kind that fits is used, so
# that the template sentence of LOTUS matters only if nothing else matches.
SOURCES = {
    "chebi": "chebi",
    "hazard": "atsdr|cameo|haz-map|hazardous substances|hsdb|icscs?|national toxicology program|niosh|ntp|osha",
    "drug": "clinicalinfo|drugbank|drugcentral|fda pharm classes|lactmed|livertox|nci thesaurus|ncit",
    "toxin": "t3db|toxin and toxin target database",
    "metabolite": "ecmdb|foodb|hmdb|metabolome database|ymdb",
    "natural_product": "coconut|knapsack|lotus|natural products atlas",
}
PHRASES = {
    "chebi": r"has a role as|is an? (?:conjugate acid|conjugate base|enantiomer|tautomer) of|derives from an?"
    r"|is functionally related to|obtained by formal condensation|has [DLRS]-configuration|major species at pH",
    "hazard": r"\((?:epa|niosh|ntp|osha|uscg), \d{4}\)|appears as an?|vapors (?:are )?heavier than air",
    "drug": r"used in trials (?:studying|investigating)|orally (?:active|bioavailable)|antineoplastic activity"
    r"|\(nci\d*\)",
    "toxin": r"(?<=\. )\([atl]\d+(?:, [atl]\d+)*\)",
    "metabolite": r"is a metabolite found in|belongs to the class of organic compounds known as",
    "natural_product": r"is a natural product found in",
}
KINDS = (*SOURCES, "names", "names_and_properties", "other")


def _compile_recognisers(patterns: dict[str, str]) -> list[tuple[str, re.Pattern]]:
    return [(kind, re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)) for kind, words in patterns.items()]


OF_SOURCE, OF_TEXT = _compile_recognisers(SOURCES), _compile_recognisers(PHRASES)


class Cleaned(NamedTuple):
    """A cleaned text and its kind."""

    text: str
    kind: str


def clean_text(
    record_id: str, text: str, names: Iterable[str], source: str, kind: str | None, is_composed: bool, min_words: int
) -> Cleaned:
    """Put a text on one line, replace its subject, and determine its kind.

    Args:
        record_id: id of the record in errors.
        text: text with paragraphs separated by line breaks.
        names: names of the molecule.
        source: name of the source.
        kind: kind of text according to the source, or None.
        is_composed: whether the text was made from facts; its names are then kept as its content.
        min_words: minimum number of words, separated by whitespace, of the cleaned text.
    Raises:
        RecordError: the text has no letter or too few words.
    """
    if is_composed:
        cleaned = normalise(text)
    else:
        cleaned = normalise(replace_subject("\n".join(map(normalise, text.splitlines())), names))
    if not _has_letter(cleaned):
        raise RecordError(record_id, "the text has no letter", cleaned[:80])
    num_words = len(cleaned.split())
    if num_words < min_words:
        raise RecordError(record_id, "the text has fewer than min_words words", f"{num_words} of {min_words}")
    return Cleaned(cleaned, find_text_kind(cleaned, source, kind))


def normalise(text: str) -> str:
    """Return the text on one line, with single spaces for all whitespace and line breaks, in Unicode NFC."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def find_text_kind(text: str, source: str, kind: str | None = None) -> str:
    """Determine the kind of a text: one of `KINDS`, unless its source states another.

    Args:
        text: the text.
        source: name of the source, e.g. PubChem's `SourceName`.
        kind: kind of text according to the source, which is then returned.
    """
    if kind is not None:
        return kind
    of_source = (found for found, pattern in OF_SOURCE if pattern.search(source))
    of_text = (found for found, pattern in OF_TEXT if pattern.search(text))
    return next(of_source, None) or next(of_text, "other")


def find_sentence_starts(text: str) -> Iterator[int]:
    """Yield the positions at which lines and sentences start, from 0, in a text with single spaces between words.

    Initials ("E. coli", "U.S. "), `ABBREVIATIONS` and decimals do not end a sentence. A citation after the full stop,
    as in "Bitter taste. (NTP, 1992) It is", belongs to the sentence before it.
    """
    yield 0
    for end in SENTENCE_END.finditer(text):
        word = text[text.rfind(" ", 0, end.start()) + 1 : end.start()]
        if end[0] == "\n" or not NO_SENTENCE_END.fullmatch(word):
            yield end.end()


def replace_subject(text: str, names: Iterable[str]) -> str:
    """Replace a name of the molecule by "The molecule" wherever it is the subject; see the module's docstring.

    Args:
        text: lines with single spaces between words, in NFC.
        names: names of the molecule, in any case and order.
    """
    folded = _fold(text)
    names = {name for name in map(normalise, names) if name and _fold(name) in folded}
    names = sorted(names, key=lambda name: (-len(name), name))
    long = tuple(_fold(name) for name in names if _is_long(name) and not NEVER_NAMES.fullmatch(name))
    short = tuple(name for name in names if not _is_long(name))
    pieces, done = [], 0
    for start in find_sentence_starts(text):
        end = _find_subject_end(text, folded, start, long)
        if end is None and start == 0:
            end = _find_subject_end(text, text, start, short)
        if end is not None:
            pieces += [text[done:start], SUBJECT]
            done = end
    return "".join([*pieces, text[done:]])


def _find_subject_end(text: str, folded: str, start: int, names: tuple[str, ...]) -> int | None:
    """Return the end of the name that is the subject of the sentence at `start`; None if there is none."""
    for begin in sorted({start, OPENING.match(text, start).end()}):
        if folded.startswith(names, begin):  # fast, and rarely true
            for name in names:
                end = begin + len(name)
                if folded.startswith(name, begin) and PREDICATE.match(
                    text, _find_other_name_end(text, folded, end, names)
                ):
                    return end
    return None


def _find_other_name_end(text: str, folded: str, start: int, names: tuple[str, ...]) -> int:
    """Return the end of another name or an abbreviation in parentheses; `start` if there is none."""
    found = PARENTHESES.match(text, start)
    if found and (ABBREVIATION_OF_NAME.fullmatch(found[1]) or folded[found.start(1) : found.end(1)] in names):
        return found.end()
    return start


def _fold(text: str) -> str:
    return text.replace("İ", "i").lower()  # İ is the only letter whose lower case is longer


def _has_letter(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _is_long(name: str) -> bool:
    return len(name) >= 3 and _has_letter(name)
