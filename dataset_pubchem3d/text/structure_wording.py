"""Wording of the sentences about structures: articles, numbers, plurals, lists and synonyms."""

from collections.abc import Sequence
from functools import cache
from random import Random

from rdkit import Chem

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SAID_WITH_CONSONANT = (
    "uni",
    "ure",
    "uri",
    "uro",
    "ura",
    "eu",
    "one-",
)  # begin with a vowel, but are spoken like "you" or "won"
SAID_WITH_VOWEL = ("N-", "N,", "S-", "11-", "18-", "8-")
OF_GROUPS = {
    "carboxy group": ("carboxy group", "carboxylic acid group"),
    "hydroxy group": ("hydroxy group", "hydroxyl group"),
    "keto group": ("keto group", "ketone group"),
    "formyl group": ("formyl group", "aldehyde group"),
    "amide group": ("amide group", "carboxamide group"),
    "nitrile group": ("nitrile group", "cyano group"),
    "thiol group": ("thiol group", "sulfanyl group"),
    "primary amino group": ("primary amino group", "free amino group"),
    "ether group": ("ether group", "ether linkage"),
    "sulfide group": ("sulfide group", "thioether group"),
    "ester group": ("ester group", "carboxylic ester group"),
    "disulfide group": ("disulfide group", "disulfide bridge"),
    "epoxide group": ("epoxide group", "epoxide ring"),
    "carbon-carbon double bond": ("carbon-carbon double bond", "olefinic double bond", "C=C double bond"),
    "carbon-carbon triple bond": ("carbon-carbon triple bond", "alkyne triple bond"),
}
OF_RINGS = {
    "oxolane": ("oxolane", "tetrahydrofuran"),
    "oxane": ("oxane", "tetrahydropyran"),
    "oxirane": ("oxirane", "epoxide"),
    "1,3-thiazole": ("1,3-thiazole", "thiazole"),
    "1,3-oxazole": ("1,3-oxazole", "oxazole"),
    "1-benzofuran": ("1-benzofuran", "benzofuran"),
    "1-benzothiophene": ("1-benzothiophene", "benzothiophene"),
    "1,3-benzothiazole": ("1,3-benzothiazole", "benzothiazole"),
    "1,3-benzoxazole": ("1,3-benzoxazole", "benzoxazole"),
    "1,3-benzodioxole": ("1,3-benzodioxole", "benzodioxole"),
    "2,3-dihydro-1-benzofuran": ("2,3-dihydro-1-benzofuran", "dihydrobenzofuran"),
    "imidazolidine-2,4-dione": ("imidazolidine-2,4-dione", "hydantoin"),
    "pyrrolidine-2,5-dione": ("pyrrolidine-2,5-dione", "succinimide"),
    "pyrrole-2,5-dione": ("pyrrole-2,5-dione", "maleimide"),
    "isoindole-1,3-dione": ("isoindole-1,3-dione", "phthalimide"),
    "piperidine-2,6-dione": ("piperidine-2,6-dione", "glutarimide"),
    "coumarin": ("coumarin", "chromen-2-one"),
    "chromone": ("chromone", "chromen-4-one"),
    "oxolan-2-one": ("oxolan-2-one", "butan-4-olide", "gamma-butyrolactone"),
    "2-furanone": ("2-furanone", "butenolide"),
}
BROADER = {  # broader terms that people use for a class
    "primary alcohol": ("alcohol",),
    "secondary alcohol": ("alcohol",),
    "tertiary alcohol": ("alcohol",),
    "monocarboxylic acid": ("carboxylic acid", "organic acid"),
    "dicarboxylic acid": ("carboxylic acid", "diacid"),
    "tricarboxylic acid": ("carboxylic acid",),
    "primary carboxamide": ("carboxamide", "amide"),
    "secondary carboxamide": ("carboxamide", "amide"),
    "tertiary carboxamide": ("carboxamide", "amide"),
    "primary amine": ("amine", "primary amino compound"),
    "secondary amine": ("amine", "secondary amino compound"),
    "tertiary amine": ("amine", "tertiary amino compound"),
    "primary arylamine": ("aromatic amine",),
    "aromatic ether": ("ether", "aryl ether"),
    "diaryl ether": ("aromatic ether",),
    "aliphatic ether": ("ether",),
    "cyclic ether": ("ether",),
    "aromatic ketone": ("ketone", "aryl ketone"),
    "cyclic ketone": ("ketone",),
    "methyl ketone": ("ketone",),
    "carboxylic ester": ("ester",),
    "acetate ester": ("ester", "carboxylic ester"),
    "methyl ester": ("ester", "carboxylic ester"),
    "ethyl ester": ("ester", "carboxylic ester"),
    "benzoate ester": ("ester", "carboxylic ester"),
    "C-nitro compound": ("nitro compound",),
    "organochlorine compound": ("chlorinated compound", "organohalogen compound"),
    "organofluorine compound": ("fluorinated compound", "organohalogen compound"),
    "organobromine compound": ("brominated compound", "organohalogen compound"),
    "organoiodine compound": ("iodinated compound", "organohalogen compound"),
    "organic sulfide": ("thioether",),
    "aryl sulfide": ("thioether", "organic sulfide"),
    "aliphatic sulfide": ("thioether", "organic sulfide"),
    "monosaccharide derivative": ("carbohydrate derivative", "sugar derivative"),
    "monosaccharide": ("carbohydrate", "sugar"),
    "disaccharide": ("carbohydrate", "sugar"),
    "triglyceride": ("triacylglycerol", "lipid"),
    "diglyceride": ("diacylglycerol", "lipid"),
    "monoglyceride": ("monoacylglycerol", "lipid"),
    "glycerophospholipid": ("phospholipid", "lipid"),
}
BROADER |= {
    f"{number}{halogen}benzenes": (f"{halogen}benzenes",)
    for halogen in ("fluoro", "chloro", "bromo", "iodo")
    for number in ("mono", "di", "tri", "tetra")
}
SHARE_OF_BROADER = 0.25
OF_ELEMENTS = {16: "sulfur", 13: "aluminium", 55: "caesium"}  # names that differ from RDKit's


@cache
def name_element(element: int) -> str:
    """Return the English name of an element, given its atomic number."""
    return OF_ELEMENTS.get(element) or Chem.GetPeriodicTable().GetElementName(element).lower()


def enumerate_words(items: Sequence[str]) -> str:
    """Join words in the form "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def capitalise(sentence: str) -> str:
    """Capitalise the first letter of a sentence."""
    return sentence[0].upper() + sentence[1:]


def count(number: int) -> str:
    """Write a number, in words if it is small."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def with_article(noun: str) -> str:
    """Return a noun with "a" or "an", depending on its pronunciation."""
    if noun.startswith(SAID_WITH_VOWEL):
        return f"an {noun}"
    has_vowel = noun[0].lower() in "aeiou" and not noun.startswith(SAID_WITH_CONSONANT)
    return f"{'an' if has_vowel else 'a'} {noun}"


def name_ring(ring: str, random: Random) -> str:
    """Choose one of the names of a ring."""
    return random.choice(OF_RINGS[ring]) if ring in OF_RINGS else ring


def count_noun(noun: str, number: int, random: Random) -> str:
    """Return a number and a noun, such as "two hydroxy groups", with one of the noun's synonyms."""
    noun = random.choice(OF_GROUPS[noun]) if noun in OF_GROUPS else noun
    if number == 1:
        return with_article(noun) if random.random() < 0.7 else f"one {noun}"
    return f"{count(number)} {noun}s"


def count_ring(ring: str, number: int, random: Random) -> str:
    """Return a number of rings, such as "two pyridine rings"."""
    return count_noun(f"{name_ring(ring, random).removesuffix(' ring')} ring", number, random)


def name_as_ring(ring: str, random: Random) -> str:
    """Name a molecule by its ring, such as "a member of pyridines"."""
    name = name_ring(ring, random)
    forms = (f"a member of {name}s", f"a member of the class of {name}s", f"{with_article(name)} derivative")
    return random.choice(forms)


def name_as_class(name: str, random: Random) -> str:
    """Name a molecule by its class, sometimes a broader one, such as "a secondary alcohol" or "a member of phenols"."""
    if name in BROADER and random.random() < SHARE_OF_BROADER:
        name = random.choice(BROADER[name])
    if name.endswith("s"):  # ChEBI's name is a plural
        return random.choice([f"a member of {name}", f"a member of the class of {name}"])
    return with_article(name)
