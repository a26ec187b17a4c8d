"""Compose a few sentences about a molecule from facts: first its names, then its measured properties.

The wording varies between molecules but depends only on the InChIKey. The text never states the formula, the mass, a
SMILES or an InChI.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from ..chemistry.units import convert_to_celsius, convert_to_grams_per_cm3
from .names import keep_letters, keep_letters_and_digits, select_readable_names

MAX_SYNONYMS = 3

NAME_SENTENCES = {  # by whether there are a separate IUPAC name and synonyms
    (True, True): (
        "{name}, in IUPAC nomenclature {iupac_name}, is also known as {synonyms}.",
        "{name} is the compound with the IUPAC name {iupac_name}. Other names are {synonyms}.",
        "The molecule is {name}, also called {synonyms}. Its systematic name is {iupac_name}.",
        "{name}, also known as {synonyms}, has the IUPAC name {iupac_name}.",
    ),
    (True, False): (
        "{name} is the compound with the IUPAC name {iupac_name}.",
        "The molecule is {name}, in IUPAC nomenclature {iupac_name}.",
        "{name} has the systematic name {iupac_name}.",
    ),
    (False, True): (
        "{name} is also known as {synonyms}.",
        "The molecule is {name}, also called {synonyms}.",
        "{name} is a compound that is also called {synonyms}.",
    ),
    (False, False): ("The molecule is {name}.", "This is the compound {name}.", "The compound is called {name}."),
}
PROPERTY_SENTENCES = (  # a sentence, and the wording of each fact in it
    ("{source} lists {facts}.", "a {kind} of {value}"),
    ("according to {source}, {facts}.", "the {kind} is {value}"),
    ("{facts}, as given by {source}.", "its {kind} is {value}"),
)
PROPERTY_FORMATS = {  # functions from the SI value to its wording
    "melting point": lambda kelvin: f"{convert_to_celsius(kelvin):.1f} °C",
    "boiling point": lambda kelvin: f"{convert_to_celsius(kelvin):.1f} °C",
    "flash point": lambda kelvin: f"{convert_to_celsius(kelvin):.1f} °C",
    "critical temperature": lambda kelvin: f"{kelvin:.1f} K",
    "density": lambda kg_per_m3: f"{convert_to_grams_per_cm3(kg_per_m3):.3f} g/cm³",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured property: its kind (a key of `PROPERTY_FORMATS`), its value in SI units and the name of its source."""

    kind: str
    value: float
    source: str

    @property
    def printed(self) -> str:
        """The value and its unit, as stated in the text."""
        return PROPERTY_FORMATS[self.kind](self.value)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a text. `iupac_name` is None if there is no IUPAC name or it equals `name`."""

    name: str
    iupac_name: str | None
    synonyms: tuple[str, ...]
    measurements: tuple[Measurement, ...]

    def to_json(self) -> str:
        """Return the facts as a JSON object, with values in SI units."""
        return json.dumps(asdict(self), ensure_ascii=False)


def select_facts(
    title: str,
    iupac_name: str,
    synonyms: Sequence[str],
    measurements: Iterable[Measurement],
    *,
    has_stereo: bool,
    formula: str,
    masses: Iterable[float],
) -> Facts | None:
    """Select the facts of a text.

    The name is the first of title, IUPAC name and synonyms that reads as words. Synonyms with the same letters as a
    chosen name, names that contain the formula, and measurements whose printed number could be mistaken for the mass
    are left out.

    Args:
        title, iupac_name, synonyms: names in lower case; "" for a missing one.
        measurements: measured properties.
        has_stereo: whether the compound's record has stereochemistry.
        formula: Hill formula.
        masses: average and exact mass, Dalton.
    Returns:
        The facts; None if no name reads as words.
    """

    def admit(names: Iterable[str]) -> list[str]:
        return [
            n for n in select_readable_names(names, has_stereo) if formula.lower() not in keep_letters_and_digits(n)
        ]

    names = admit([title, iupac_name, *synonyms])
    if not names:
        return None
    name = names[0]
    systematic = next(iter(admit([iupac_name])), None)
    if systematic and keep_letters_and_digits(systematic) == keep_letters_and_digits(name):
        systematic = None
    distinct = {keep_letters(other): other for other in reversed(names)}
    told_letters = {keep_letters(name), keep_letters(systematic or name)}
    others = [
        other for other in names if distinct[keep_letters(other)] is other and keep_letters(other) not in told_letters
    ]
    mass_numbers = {f"{mass:.{digits}f}" for mass in masses for digits in (1, 2)}
    told = tuple(fact for fact in measurements if fact.printed.split()[0] not in mass_numbers)
    return Facts(name, systematic, tuple(others[:MAX_SYNONYMS]), told)


def compose_text(facts: Facts, inchikey: str) -> str:
    """Compose the text of a molecule. The InChIKey determines which sentences are used."""
    forms = NAME_SENTENCES[facts.iupac_name is not None, bool(facts.synonyms)]
    names = _pick(forms, inchikey, "names").format(
        name=facts.name, iupac_name=facts.iupac_name, synonyms=_enumerate(facts.synonyms)
    )
    sentences = [_capitalise(names)]
    for source in dict.fromkeys(fact.source for fact in facts.measurements):
        sentence, form = _pick(PROPERTY_SENTENCES, inchikey, source)
        told = [form.format(kind=f.kind, value=f.printed) for f in facts.measurements if f.source == source]
        sentences.append(_capitalise(sentence.format(source=source, facts=_enumerate(told))))
    return " ".join(sentences)


def _pick(options: Sequence, inchikey: str, purpose: str):
    digest = hashlib.sha256(f"{inchikey}:{purpose}".encode()).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]


def _enumerate(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _capitalise(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
