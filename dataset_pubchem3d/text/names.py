"""Select the names of a compound that read as words and are suitable for a text."""

import re
from collections.abc import Iterable

REGISTRIES = "aids bidd caswell ccris chebi chembl einecs epa fema hsdb mfcd nsc rcra unii uhfffaoysa usaf wln zinc"
NOT_THE_COMPOUND = "mixture solution hydrochloride hydrobromide poly polymer homopolymer grade deriv purum standard"
REJECTED_WORDS = frozenset(f"{REGISTRIES} {NOT_THE_COMPOUND}".split())

NAME_CHARACTERS = re.compile(r"[a-z0-9 ():,'\[\].+-]+")
WORD = re.compile(r"(?=[a-z]*[aeiouy])[a-z]{4,}")
CODE = re.compile(r"\d{4,}|(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{4,}")
REGISTRY_NUMBER = re.compile(r"\d{2,7}-\d{2}-\d|\d{3}-\d{3}-\d")
SYMBOL = r"(?:cl|br|si|me|et|pr|bu|ph|ac|[chnofspi])"
FORMULA = re.compile(rf"(?=.*[a-z]\d)(?:(?:{SYMBOL}|[()=\[\]-])\d*)+")
REMARK = re.compile(r"[\[(](?:[a-z ]{4,}|\d+ci(?:,\d+ci)*)[\])]$| [\[(][a-z]{3}[\])]$")
LANGUAGE = re.compile(r" ?\[(?:czech|dutch|french|german|italian|polish|russian|spanish)\]$")
INVERTED = re.compile(r"(.*?[a-z]{3}), ?([^ ]*-)")
STEREO_PREFIX = re.compile(r"(?:\((?:[rsez\d,+-]|alpha|beta)+\)-|(?:cis|trans|exo|endo|syn|anti|meso|dl|rac|rel)-)+")
STEREO = re.compile(
    r"(?<![a-z])(?:cis|trans|exo|endo|syn|anti|meso|dl|rac|rel|[dl](?=-))(?![a-z])|\([+-]\)|\(\d*[rsez]\)"
)


def select_readable_names(names: Iterable[str], has_stereo: bool) -> list[str]:
    """Select the names that read as words, in order and without duplicates.

    Index names are put into natural order ("butane, 2-methyl-" becomes "2-methyl-butane"). Formulas, line notations,
    registry numbers, catalogue codes, names of salts, mixtures and grades, and names marked as foreign are dropped. A
    name marked as foreign is also dropped where it occurs without the mark.

    Args:
        names: names in lower case, the best first.
        has_stereo: whether the compound has stereochemistry. If not, stereo prefixes, which would claim more than is
            known, are removed, and names with stereo descriptors elsewhere are dropped.
    """
    names = [re.sub(r"\.([a-z]+)\.", r"\1", name.strip()) for name in names]
    foreign = {LANGUAGE.sub("", name) for name in names if LANGUAGE.search(name)}
    names = [INVERTED.sub(r"\2\1", name) if INVERTED.fullmatch(name) else name for name in names if name not in foreign]
    if not has_stereo:
        names = [STEREO_PREFIX.sub("", name, count=1) if STEREO_PREFIX.match(name) else name for name in names]
        names = [name for name in names if not STEREO.search(name)]
    return [name for name in dict.fromkeys(" ".join(name.split()) for name in names) if _reads_as_words(name)]


def keep_letters_and_digits(name: str) -> str:
    """Return a name without case, spaces and punctuation, to compare names that differ only in these."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def keep_letters(name: str) -> str:
    """Return only the letters of a name, in lower case, to compare names that differ only in the place of numbers."""
    return re.sub(r"[^a-z]", "", name.lower())


def _reads_as_words(name: str) -> bool:
    tokens = re.split(r"[^a-z0-9]+", name)
    return (
        NAME_CHARACTERS.fullmatch(name) is not None
        and WORD.search(name) is not None
        and not (", " in name or name.endswith(("-", ",")))
        and not any(CODE.fullmatch(token) or token in REJECTED_WORDS for token in tokens)
        and not (REGISTRY_NUMBER.search(name) or REMARK.search(name))
        and not FORMULA.fullmatch(name.replace(" ", ""))
    )
