"""Grammar of the sentences on structures: articles, numbers, plurals and lists; and other words for the same thing."""

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
)  # begin with a vowel, but sound like "you", "won"
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
BROADER = {  # words that people use for a class and others
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
OF_ELEMENTS = {16: "sulfur", 13: "aluminium", 55: "caesium"}  # where ours differ from RDKit's


@cache
def name_element(element: int) -> str:
    """The English name of an element, given its atomic number."""
    return OF_ELEMENTS.get(element) or Chem.GetPeriodicTable().GetElementName(element).lower()


def enumerate_words(items: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def capitalise(sentence: str) -> str:
    """The sentence with a capital letter, if it begins with a letter."""
    return sentence[0].upper() + sentence[1:]


def count(number: int) -> str:
    """A number, in words if it is a small one."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def with_article(noun: str) -> str:
    """A noun with "a" or "an", as it is spoken."""
    if noun.startswith(SAID_WITH_VOWEL):
        return f"an {noun}"
    has_vowel = noun[0].lower() in "aeiou" and not noun.startswith(SAID_WITH_CONSONANT)
    return f"{'an' if has_vowel else 'a'} {noun}"


def name_ring(ring: str, random: Random) -> str:
    """One of the names of a ring."""
    return random.choice(OF_RINGS[ring]) if ring in OF_RINGS else ring


def count_noun(noun: str, number: int, random: Random) -> str:
    """Such as "two hydroxy groups", in one of the words for it."""
    noun = random.choice(OF_GROUPS[noun]) if noun in OF_GROUPS else noun
    if number == 1:
        return with_article(noun) if random.random() < 0.7 else f"one {noun}"
    return f"{count(number)} {noun}s"


def count_ring(ring: str, number: int, random: Random) -> str:
    """Such as "two pyridine rings"."""
    return count_noun(f"{name_ring(ring, random).removesuffix(' ring')} ring", number, random)


def name_as_ring(ring: str, random: Random) -> str:
    """What a molecule with a ring is: "a member of pyridines"."""
    name = name_ring(ring, random)
    forms = (f"a member of {name}s", f"a member of the class of {name}s", f"{with_article(name)} derivative")
    return random.choice(forms)


def name_as_class(name: str, random: Random) -> str:
    """What a molecule of a class is: "a secondary alcohol", "a member of phenols"; now and then a broader word."""
    if name in BROADER and random.random() < SHARE_OF_BROADER:
        name = random.choice(BROADER[name])
    if name.endswith("s"):  # ChEBI's name is a plural
        return random.choice([f"a member of {name}", f"a member of the class of {name}"])
    return with_article(name)
