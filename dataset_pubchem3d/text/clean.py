"""What becomes of a text before it is a row: one line, its subject "The molecule", its kind known.

`replace_subject` puts "The molecule" in the place of a name of the molecule where that name is the subject of a
sentence, and only there; blind replacement harms other words (PCdes, doi:10.1038/s41467-022-28494-3, holds "conjugate
base of a ite(1+)"). The name must

- stand at the start of the text, of a line or of a sentence, after an article and "Pure " at most,
- be whole: "Examplamine hydrochloride is" tells of another substance than "Examplamine",
- be followed by one of `VERBS`, perhaps with one of `ADVERBS` before it. Between name and verb may stand, and stays,
  another name or an abbreviation in parentheses, and then one apposition between commas that begins with one of
  `APPOSITIONS`. Anything else may make it another substance: "(anhydrous)", "(II)", ", solution,".

Case does not matter and the longest name comes first. Names of fewer than three characters or without a letter count
only at the start of the text and in their exact case; `NEVER_NAMES`, which PubChem's synonyms hold, never count. Names
before a plural verb ("Examplamines are", "Examplamine and its salts were") stay, for they tell of a class or of several
substances, and so do names elsewhere in a sentence. Verbs that are nouns as well ("forms") count in phrases only.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..records import RecordError

SUBJECT = "The molecule"

# Those of MoleculeSTM (doi:10.1038/s42256-023-00759-6), in the singular, and of further descriptions in PubChem.
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

# In the words of its source's name, and else in its own words: what a text tells. A text that says several things is of
# the first kind that fits, so that the template sentence of LOTUS counts only where there is nothing else.
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
    """A text as it goes into a row, and what it tells."""

    text: str
    kind: str


def clean_text(
    record_id: str, text: str, names: Iterable[str], source: str, kind: str | None, is_composed: bool, min_words: int
) -> Cleaned:
    """The text on one line, its subject replaced, and its kind.

    Args:
        text: its paragraphs joined by line breaks.
        names: of the molecule.
        kind: what the source says that the text tells, or None.
        is_composed: the text is made from facts; its names are its content and stay.
        min_words: the fewest words, parted by white space, that the cleaned text may have.
    Raises:
        RecordError: the text has no letter, or fewer words.
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
    """The text on one line: all white space, paragraph breaks too, as single spaces; Unicode in NFC."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def find_text_kind(text: str, source: str, kind: str | None = None) -> str:
    """What a text tells, one of `KINDS` unless its source has a kind of its own.

    Args:
        source: name of the source, e.g. PubChem's `SourceName`.
        kind: what the source says, which stands.
    """
    if kind is not None:
        return kind
    of_source = (found for found, pattern in OF_SOURCE if pattern.search(source))
    of_text = (found for found, pattern in OF_TEXT if pattern.search(text))
    return next(of_source, None) or next(of_text, "other")


def find_sentence_starts(text: str) -> Iterator[int]:
    """Where lines and sentences begin, ascending from 0, in a text whose words are parted by single spaces.

    Initials ("E. coli", "U.S. "), `ABBREVIATIONS` and decimals end no sentence; a citation after the full stop, as in
    "Bitter taste. (NTP, 1992) It is", belongs to the sentence before it.
    """
    yield 0
    for end in SENTENCE_END.finditer(text):
        word = text[text.rfind(" ", 0, end.start()) + 1 : end.start()]
        if end[0] == "\n" or not NO_SENTENCE_END.fullmatch(word):
            yield end.end()


def replace_subject(text: str, names: Iterable[str]) -> str:
    """The text with "The molecule" for a name of the molecule wherever it is the subject; see the head of this file.

    Args:
        text: lines whose words are parted by single spaces, in NFC.
        names: of the molecule, in any case and order.
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
    """Where the name ends that is the subject of the sentence at `start`; None if there is none."""
    for begin in sorted({start, OPENING.match(text, start).end()}):
        if folded.startswith(names, begin):  # seldom true, and quick
            for name in names:
                end = begin + len(name)
                if folded.startswith(name, begin) and PREDICATE.match(
                    text, _find_other_name_end(text, folded, end, names)
                ):
                    return end
    return None


def _find_other_name_end(text: str, folded: str, start: int, names: tuple[str, ...]) -> int:
    """Where another name or an abbreviation in parentheses ends; `start` if there is none."""
    found = PARENTHESES.match(text, start)
    if found and (ABBREVIATION_OF_NAME.fullmatch(found[1]) or folded[found.start(1) : found.end(1)] in names):
        return found.end()
    return start


def _fold(text: str) -> str:
    return text.replace("İ", "i").lower()  # İ is the one letter that is longer in lower case


def _has_letter(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _is_long(name: str) -> bool:
    return len(name) >= 3 and _has_letter(name)
