"""Write phrases of one to six words about a molecule, like queries in a search field."""

from random import Random

from ..chemistry.classes import StructureClasses
from .structure_wording import BROADER, name_element, name_ring, with_article

ADJECTIVES = {9: "fluorinated", 17: "chlorinated", 35: "brominated", 53: "iodinated"}
ELEMENTS = {9: "fluorine", 17: "chlorine", 35: "bromine", 53: "iodine", 16: "sulfur", 15: "phosphorus"}
ELEMENTS |= {5: "boron", 14: "silicon", 34: "selenium", 33: "arsenic"}
HEADS = {  # groups that name a compound, the most specific first: the compound's name, and the word for the group
    "carboxy group": ("acid", "carboxylic acid"),
    "sulfonic acid group": ("sulfonic acid", "sulfonic acid"),
    "phosphonic acid group": ("phosphonic acid", "phosphonic acid"),
    "boronic acid group": ("boronic acid", "boronic acid"),
    "carboxylate group": ("carboxylate", "carboxylate"),
    "sulfonamide group": ("sulfonamide", "sulfonamide"),
    "urea group": ("urea", "urea"),
    "carbamate group": ("carbamate", "carbamate"),
    "imide group": ("imide", "imide"),
    "amide group": ("amide", "amide"),
    "ester group": ("ester", "ester"),
    "phosphate group": ("phosphate", "phosphate"),
    "formyl group": ("aldehyde", "aldehyde"),
    "keto group": ("ketone", "ketone"),
    "nitrile group": ("nitrile", "nitrile"),
    "thiol group": ("thiol", "thiol"),
    "sulfone group": ("sulfone", "sulfone"),
    "sulfoxide group": ("sulfoxide", "sulfoxide"),
    "phenolic hydroxy group": ("phenol", "phenol"),
    "hydroxy group": ("alcohol", "hydroxyl"),
    "primary amino group": ("amine", "amino group"),
    "secondary amino group": ("amine", "secondary amine"),
    "tertiary amino group": ("amine", "tertiary amine"),
    "ether group": ("ether", "ether"),
    "sulfide group": ("thioether", "thioether"),
    "nitro group": ("nitro compound", "nitro group"),
    "epoxide group": ("epoxide", "epoxide"),
    "trifluoromethyl group": (None, "trifluoromethyl"),
    "methoxy group": (None, "methoxy"),
    "tert-butyl group": (None, "tert-butyl"),
    "vinyl group": (None, "vinyl group"),
    "quaternary ammonium group": (None, "quaternary ammonium"),
}
ARE_ALCOHOLS = {"primary alcohol", "secondary alcohol", "tertiary alcohol"}
MOST_KEYWORDS = 4
MOST_KINDS = 8
LONG_CHAIN = 12  # carbons


def list_phrases(found: StructureClasses, random: Random) -> list[str]:
    """Write two or three different phrases; fewer, or none, for a molecule about which little is known."""
    kinds, parts = _list_kinds(found), _list_parts(found, random)
    keywords = list(dict.fromkeys([*kinds, *parts]))
    phrases = []
    if keywords:
        phrases.append(", ".join(random.sample(keywords, min(len(keywords), random.randint(1, MOST_KEYWORDS)))))
    phrases += _make_noun_phrase(found, random)
    if len(parts) > 1 and random.random() < 0.5:
        form = random.choice(["{} and {}", "compound with {} and {}", "contains {} and {}"])
        phrases.append(form.format(*random.sample(parts, 2)))
    return list(dict.fromkeys(phrases))


def _list_kinds(found: StructureClasses) -> list[str]:
    """Return what the molecule is, in the singular."""
    words = [word for name in found.frames for word in (name, *BROADER.get(name, ()))]
    words += [name.removesuffix("s") for name in found.classes[:MOST_KINDS]]
    words += ["alcohol"] if ARE_ALCOHOLS.intersection(found.classes) else []
    words += [f"{name} salt" for name in found.counterparts if name and name != "hydrate"]
    words += [fact for fact in found.ring_facts if fact in ("macrocycle", "spiro compound", "bridged compound")]
    return list(dict.fromkeys(words))


def _list_parts(found: StructureClasses, random: Random) -> list[str]:
    """Return what the molecule contains."""
    words = [name_ring(ring, random) for ring in found.rings]
    words += [HEADS[name][1] for name in HEADS if name in found.groups]
    words += [word for element, word in ELEMENTS.items() if element in found.elements]
    words += [*map(name_element, found.metals), *found.nucleobases]
    return list(dict.fromkeys(words))


def _make_noun_phrase(found: StructureClasses, random: Random) -> list[str]:
    """Write a noun phrase such as "a chlorinated aromatic acid"."""
    if not found.has_carbon:
        return []
    heads = [HEADS[name][0] for name in HEADS if name in found.groups and HEADS[name][0]]
    if "alcohol" in heads and not ARE_ALCOHOLS.intersection(found.classes):
        heads.remove("alcohol")
    adjectives = [word for element, word in ADJECTIVES.items() if element in found.elements]
    adjectives += ["unsaturated"] if found.double_bonds or found.triple_bonds else []
    adjectives += ["long-chain"] if found.longest_chain >= LONG_CHAIN else []
    if "heteroarene" in found.ring_facts:
        adjectives.append("heteroaromatic")
    elif "aromatic compound" in found.ring_facts:
        adjectives.append("aromatic")
    elif "organic heterocyclic compound" in found.ring_facts:
        adjectives.append("heterocyclic")
    elif found.num_rings:
        adjectives.append("cyclic")
    else:
        adjectives.append(random.choice(["aliphatic", "open-chain"]))
    if not heads and not found.rings:
        return []
    heads = heads or ["compound"]
    head = heads[0] if random.random() < 0.6 else random.choice(heads)
    most = random.randint(1, 2)
    kept = [adjectives[place] for place in sorted(random.sample(range(len(adjectives)), min(most, len(adjectives))))]
    halogens = [word for word in kept if word in ADJECTIVES.values()]
    phrase = " ".join([" and ".join(halogens), *(word for word in kept if word not in halogens), head]).strip()
    if found.rings and (head == "compound" or random.random() < 0.4):
        phrase += f" with {with_article(name_ring(next(iter(found.rings)), random))} ring"
    return [phrase if random.random() < 0.5 else with_article(phrase)]
