"""Facts that a caption states about a molecule, checked against the structure.

n-gram scores reward phrases that fit most molecules. Here a caption is scored by what it says about its own molecule.
A caption that says little has high precision and low recall. Compare its recall with that of the true captions.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rdkit import Chem

# Sentences about other compounds or about activity and use; the remaining sentences describe the structure.
ELSEWHERE = re.compile(
    r"derives? from|derived from|functionally related to|conjugate (?:acid|base) of|tautomer of|contains an?\b"
    r"|\brole\b|\bused\b|\binhibit(?:s|ed|ing|ion)\b|\bbinds?\b|activit|soluble|treatment|\bcells?\b"
    r"|\bcan (?:be|also)\b|synthes|react|receptor|channel|enzym|metabolis",
    re.IGNORECASE,
)
# Phrases about precursors, replaced groups, absent groups and salts of the molecule.
NOT_THIS = re.compile(
    r"\b(?:lack(?:s|ing)|without|absence of|instead of|rather than|not)\b[^,.;]*"
    r"|\b(?:condensation|esters?|amides?|lactones?|oxidation|hydrolysis|reduction|loss|removal|addition|analogues?)"
    r" (?:of|from|between|with|to)\b[^,.;]*"
    r"|\bin which\b[^.;]*?\b(?:replaced|substituted|reduced|converted|oxidi[sz]ed)\b"
    r"|\b(?:its|as the) [\w-]+ salt\b[^.;]*|\bthe [\w-]+ salt is\b[^.;]*"
    r"|\bnon-?\w+",
    re.IGNORECASE,
)


class Fact(NamedTuple):
    """A claim in words and the substructure that makes it true.

    Acids and amines match in every protonation state, because texts use either name. Rings written with `~` are
    skeletons. They match saturated, aromatic and fused rings, as in names: tetrahydrofuran and benzofuran are furans.
    """

    name: str
    words: str  # regular expression, case ignored
    smarts: str


ANTHRACENE = "[#6]1~[#6]~[#6]~[#6]~[#6]2~[#6]~1~[#6]~[#6]3~[#6](~[#6]~2)~[#6]~[#6]~[#6]~[#6]~3"
STEROID = (  # rings A, B, C and D
    "[#6]1~[#6]~[#6]~[#6]~[#6]2~[#6]~1~[#6]1~[#6](~[#6]~[#6]~2)~[#6]2~[#6](~[#6]~[#6]~1)~[#6]~[#6]~[#6]~2"
)
TRIAZOLE = "[$([#7]1~[#7]~[#7]~[#6]~[#6]~1),$([#7]1~[#7]~[#6]~[#7]~[#6]~1)]"  # 1,2,3 and 1,2,4

# Each pattern was tested on human captions: if it matches, the group is almost always present. Rare facts are omitted.
FACTS = (
    # elements
    Fact("nitrogen", r"\bnitrogen (?:atom|compound|hetero|mol)|organonitrogen|organic nitrogen", "[#7]"),
    Fact("oxygen", r"\boxygen atom|organooxygen|organic oxygen", "[#8]"),
    Fact("sulfur", r"organosul(?:f|ph)ur|\bsul(?:f|ph)ur(?:-cont| atom| comp| hetero| mol)", "[#16]"),
    Fact("phosphorus", r"\bphosphorus\b|organophosph", "[#15]"),
    Fact("fluorine", r"fluor(?:o(?!chrom|scen|ph|ura)|in|ide)", "F"),
    Fact("chlorine", r"chlor(?:o(?!phyl|form|plast)|ine?(?:s|ated)?\b|ides?\b)", "[#17]"),
    Fact("bromine", r"brom(?:o|in|id)", "[#35]"),
    Fact("iodine", r"\biod(?:o|in|id)|(?:di|tri|organo|\d-)iodo", "[#53]"),
    Fact("sodium", r"sodium salt|sodium(?=[,.]| \(| and | counter)", "[#11]"),
    # charges and counterions; adjacent opposite charges, as in a nitro group, do not count
    Fact(
        "cation", r"\b(?:di|tri|tetra)?cation\b|ammonium ion|\([1-9]\+\)|iminium|pyridinium", "[+,+2,+3,+4;!$(*~[-])]"
    ),
    Fact("anion", r"\b(?:oxo|di|tri|tetra)?anion\b|\([1-9]-\)", "[-,-2,-3,-4;!$(*~[+])]"),
    Fact("zwitterion", r"zwitterion(?!ic)", "[#6][#7+,#15+,#16+;!$(*~[-])].[O-,S-,C-;!$(*~[+])]"),
    Fact("quaternary ammonium", r"quaternary (?:ammonium|nitrogen)", "[NX4H0+,nX3H0+]"),
    Fact("hydrochloride", r"hydrochloride", "[Cl;D0]"),
    Fact("hydrate", r"\b(?:mono|di|tri|hemi|penta)hydrate\b|hydrate form", "[OH2;D0]"),
    # rings
    Fact("benzene", r"benzene|phenyl(?!alan)|phenol|benz(?:yl|oic|oate|oyl)|anilin|toluen", "c1ccccc1"),
    Fact(
        "naphthalene", r"(?<!hexahydro)(?<!octahydro)(?<!ace)naphth(?:al|yl|ol|oq)", "c1ccc2c(c1)~[#6]~[#6]~[#6]~[#6]~2"
    ),
    Fact("anthracene", r"anthra(?:c(?!y)|quin)", ANTHRACENE),
    Fact("steroid", r"\b(?!seco)\w*steroid\b|\bsterol|androst|\bestr(?:an|adi)|pregn(?!anc)|ergost|stigmast", STEROID),
    Fact("cyclohexane", r"cyclohex(?:an|en|yl)", "C1~C~C~C~C~C~1"),
    Fact("cyclopropane", r"cyclopropyl|cyclopropan", "C1CC1"),
    Fact("macrocycle", r"macrocyc|macrolide", "[r{12-}]"),
    Fact("pyridine", r"pyrid(?:in|yl)|nicotin(?:ic|am)", "[#7]1~[#6]~[#6]~[#6]~[#6]~[#6]~1"),
    Fact("pyrimidine", r"(?<!o)pyrimidin|uracil|thymine|cytosine", "[#7]1~[#6]~[#7]~[#6]~[#6]~[#6]~1"),
    Fact("pyrazine", r"pyrazin", "[#7]1~[#6]~[#6]~[#7]~[#6]~[#6]~1"),
    Fact("piperidine", r"piperidin", "N1CCCCC1"),
    Fact("piperazine", r"piperazin", "N1CCNCC1"),
    Fact("pyrrolidine", r"pyrrolidin", "N1CCCC1"),
    Fact("pyrrole", r"pyrrol", "[#7]1~[#6]~[#6]~[#6]~[#6]~1"),
    Fact("imidazole", r"imidazol", "[#7]1~[#6]~[#7]~[#6]~[#6]~1"),
    Fact("pyrazole", r"pyrazol", "[#7]1~[#7]~[#6]~[#6]~[#6]~1"),
    Fact("triazole", r"triazol", TRIAZOLE),
    Fact("indole", r"(?<!iso)(?<!benzo)indol(?!iz|ent)", "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#7]~[#6]~[#6]~2"),
    Fact("quinoline", r"(?<!iso)quinol(?:in|one)", "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#7]~[#6]~[#6]~[#6]~2"),
    Fact("isoquinoline", r"isoquinolin", "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#6]~[#7]~[#6]~[#6]~2"),
    Fact("purine", r"(?<!a)purin(?!e nuc)|xanthine(?! ox)", "[#7]1~[#6]~[#7]~[#6]2~[#6](~[#6]~1)~[#7]~[#6]~[#7]~2"),
    Fact("furan", r"furan|furyl|furfur", "[#8]1~[#6]~[#6]~[#6]~[#6]~1"),
    Fact("pyran", r"pyran|chromen|chroman|flavon|coumarin", "[#8]1~[#6]~[#6]~[#6]~[#6]~[#6]~1"),
    Fact("thiophene", r"thiophen(?!ol)|thienyl", "[#16]1~[#6]~[#6]~[#6]~[#6]~1"),
    Fact("thiazole", r"(?<!iso)thiazol", "[#16]1~[#6]~[#7]~[#6]~[#6]~1"),
    # oxygen
    Fact(
        "hydroxy",
        r"hydroxy(?!lam|za|prog|l?at|imi|ami)|\b(?:di|tri|tetr|penta)ols?\b|(?<!thio)phenols?\b",
        "[OX2H,OX1-;!$(OC=O);!$(O[#7+,#15,#16])]",
    ),
    Fact("alcohol", r"(?:primary|secondary|tertiary|fatty) (?:allylic )?alcohol", "[CX4][OX2H,OX1-]"),
    Fact("phenol", r"\bphenols\b|phenolic|(?<!thio)(?<!sulfo)phenol\b|hydroxyphen|catechols?\b", "c[OX2H,OX1-]"),
    Fact("ether", r"(?<!thio)(?<!silyl )(?<!oxime o-)\bethers?\b", "[#6;!$(C=O)][OX2][#6;!$(C=O)]"),
    Fact("methoxy", r"(?<!de)(?<!carb)(?<!carboxy)(?<!yl)(?<!yl[\]\)])methoxy", "[CH3]O"),
    Fact("acetal", r"acetal\b|ketal\b", "O[CX4]O"),
    Fact("epoxide", r"epoxide|\boxirane", "C1OC1"),
    Fact("oxo", r"\boxo\b|\boxo(?![cln])|ketone|\b\w*\d-one\b|\d-dione|quinone\b", "[#6;!$([#6][OX2H,OX1-])]=O"),
    Fact("ketone", r"ketone(?! bod)", "[#6][#6](=O)[#6]"),
    Fact("enone", r"\benone", "[#6]=,:[#6][#6](=O)[#6]"),
    Fact("aldehyde", r"\baldehyde(?!s? sub)|benzaldehyd|formyl", "[CX3;H1,H2]=O"),
    Fact(
        "carboxylic acid",
        r"(?:carboxylic|oic) acid(?= anion|[.,]| and a| that| which)|carboxy group",
        "[#6](=O)[OX2H,OX1-]",
    ),
    Fact(
        "ester",
        r"(?<!phosphate )(?<!sulfate )(?<!oric acid )(?<!o, o-)\b(?:di|tri|tetra)?ester",
        "[#6](=[O,S])[O,S;X2;H0]",
    ),
    Fact("lactone", r"lactone", "[#6](=O)@[#8]"),
    Fact("acetyl", r"(?<![loy)\]}])acetyl(?!en|cho|at|tr)|acetate ester|acetoxy", "[CH3]C(=O)"),
    Fact(
        "glycoside",
        r"(?:gluco|galacto|rhamno|xylo|manno|fuco|arabino)s(?:ide|yl)|saccharid|pyranos[iy]",
        "[OX2;R][CX4;R][O,N,S]",
    ),
    # nitrogen
    Fact("amino", r"\bamino\b(?![- ]acid)|amino(?![- ]acid)|amine\b", "[NX3,NX4;!$(N~[#8])]"),
    Fact("primary amine", r"primary (?:aliphatic |aromatic |aryl)?amin", "[NX3H2,NX4H3+;!$(NC=[O,S])]"),
    Fact("secondary amine", r"secondary (?:aliphatic |aromatic )?amin", "[NX3H1,NX4H2+;!$(NC=[O,S])]([#6])[#6]"),
    Fact("tertiary amine", r"tertiary (?:aliphatic |aromatic )?amin", "[NX3H0,NX4H1+;!$(NC=[O,S])]([#6])([#6])[#6]"),
    Fact("amide", r"(?<!sulfon)(?<!sulphon)(?<!phosphor)(?<!imid)(?<!cyan)amid[eo]", "C(=[O,S])N"),
    Fact("lactam", r"lactam(?!as)", "[#6](=O)@[#7]"),
    Fact("peptide", r"(?:di|tri|tetra|penta|hexa|oligo|cyclic |lipo|depsi)peptide\b", "[#6](=O)[#7]*[#6]=[O,N]"),
    Fact("alpha-amino acid", r"alpha-amino acid(?= that| anion| zwitterion|[,.])", "[#7][#6][#6](=O)[OX2H,OX1-]"),
    Fact("guanidine", r"guanidin", "[#7]~[#6](~[#7])~[#7]"),
    Fact("urea", r"\bureas\b", "[#7][#6](=[O,S])[#7]"),
    Fact("carbamate", r"carbamate", "[#7][#6](=[O,S])[O,S]"),
    Fact("nitrile", r"(?<!aceto)nitriles?\b|\bcyano(?![bg])", "C#N"),
    Fact("nitro", r"nitro(?!gen|s|ne|x|ph?il|cell|lime)", "N(~[OX1])~[OX1]"),
    Fact("azo", r"\bazo\b|azobenzene|bis\(azo|diazenyl", "[#7]=[#7]"),
    Fact("oxime", r"(?<!lf)oxime", "C=NO"),
    # sulfur and phosphorus
    Fact("sulfide", r"(?:aryl|organic|aliphatic|methyl|alkyl|steroid) sulfide\b|thioether", "[#6][SX2][#6]"),
    Fact("sulfone", r"sulfones?\b", "[#6]S(=O)(=O)[#6]"),
    Fact("sulfonamide", r"sul(?:f|ph)onamid", "S(=O)(=O)N"),
    Fact("sulfonic acid", r"sulfonic acid|sulfonate", "[#6]S(=O)(=O)O"),
    Fact("sulfate", r"(?<!thio)(?<!per)sulfate", "OS(=O)(=O)O"),
    Fact("phosphate", r"(?<!thio)phosphate", "P(~[#8])(~[#8])(~[#8])~[#8]"),
    Fact("diphosphate", r"\bdiphosphate|pyrophosphate", "POP"),
    Fact("phosphodiester", r"phosphodiester|phosphatidyl|phosphocholine|phosphoethanol", "[#6]OP(~O)(~O)O[#6]"),
    Fact("coenzyme A", r"\w-coa\b|coa\(", "C(=O)NCCSC"),
    # carbon
    Fact("double bond", r"double bond|(?<!un)unsaturated|\balkene|olefin|enoic|enoyl|enoate|\bdiene", "[#6]=[#6]"),
    Fact("alkyne", r"alkyn|ethynyl|acetylenic|\byn(?:e|yl)\b", "C#C"),
    Fact("long chain", r"octadec|stear|oleoyl|linole|hexadec|palmit", "~".join(["[C;R0]"] * 16)),
    Fact("isopropyl", r"\bisopropyl (?:group|sub)", "[CH3][CH][CH3]"),
    Fact("tert-butyl", r"tert-butyl", "[CH3]C([CH3])[CH3]"),
    Fact("trifluoromethyl", r"trifluoromethyl", "C(F)(F)F"),
)

# Facts whose absence no reader would overlook; a caption that states one wrongly describes another molecule.
KINDS = {
    "element": frozenset(
        ("nitrogen", "oxygen", "sulfur", "phosphorus", "fluorine", "chlorine", "bromine", "iodine", "sodium")
    ),
    "ring": frozenset(
        (
            *(
                "benzene",
                "naphthalene",
                "anthracene",
                "steroid",
                "cyclohexane",
                "cyclopropane",
                "pyridine",
                "pyrimidine",
            ),
            *("pyrazine", "piperidine", "piperazine", "pyrrolidine", "pyrrole", "imidazole", "pyrazole", "triazole"),
            *("indole", "quinoline", "isoquinoline", "purine", "furan", "pyran", "thiophene", "thiazole"),
        )
    ),
    "charge": frozenset(("cation", "anion", "zwitterion")),
}


def _compile(facts: Sequence[Fact]) -> tuple[tuple[str, re.Pattern, Chem.Mol], ...]:
    names = [fact.name for fact in facts]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"facts {repeated} are listed more than once; list each fact once")
    queries = [Chem.MolFromSmarts(fact.smarts) for fact in facts]
    unreadable = [fact for fact, query in zip(facts, queries) if query is None]
    if unreadable:
        raise ValueError(f"fact {unreadable[0].name!r} has unreadable SMARTS {unreadable[0].smarts!r}; correct it")
    return tuple((fact.name, re.compile(fact.words, re.IGNORECASE), query) for fact, query in zip(facts, queries))


_COMPILED = _compile(FACTS)


def find_stated_facts(caption: str) -> frozenset[str]:
    """Return the names of the facts that the caption states about its molecule.

    Sentences about origin, use, effect and related compounds are ignored, as are phrases about replaced or absent
    groups.
    """
    sentences = re.split(r"(?<=[.;])\s+", caption)
    described = " ".join(NOT_THIS.sub(" ", sentence) for sentence in sentences if not ELSEWHERE.search(sentence))
    return frozenset(name for name, words, _ in _COMPILED if words.search(described))


def find_molecule_facts(molecule: str | Chem.Mol) -> frozenset[str]:
    """Return the names of the facts that are true of a molecule.

    Args:
        molecule: SMILES or sanitised RDKit molecule.
    Raises:
        ValueError: if RDKit cannot read the SMILES.
    """
    mol = Chem.MolFromSmiles(molecule) if isinstance(molecule, str) else molecule
    if mol is None:
        raise ValueError(f"RDKit cannot read SMILES {molecule!r}; correct it or remove its row")
    return frozenset(name for name, _, query in _COMPILED if mol.HasSubstructMatch(query))


def count_facts(captions: Sequence[str], molecules: Sequence[str | Chem.Mol]) -> dict[str, np.ndarray]:
    """Count the facts of each row.

    Args:
        captions: one per row.
        molecules: one per row, as `find_molecule_facts` accepts them.
    Returns:
        (rows,) int64 each: `stated` in the caption, `true` among the stated, `present` in the molecule; and for each
        of `KINDS` such as "element", `false_element`, which is 1 if the caption states an element that the molecule
        lacks, else 0.
    Raises:
        ValueError: if the lengths differ or a molecule cannot be read; the message names its row.
    """
    if len(captions) != len(molecules):
        raise ValueError(f"{len(captions)} captions for {len(molecules)} molecules; pass one of each per row")
    counts = []
    for row, (caption, molecule) in enumerate(zip(captions, molecules)):
        try:
            present = find_molecule_facts(molecule)
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from None
        stated = find_stated_facts(caption)
        false = [int(bool((stated - present) & names)) for names in KINDS.values()]
        counts.append((len(stated), len(stated & present), len(present), *false))
    names = ("stated", "true", "present", *(f"false_{kind}" for kind in KINDS))
    return dict(zip(names, np.array(counts, dtype=np.int64).reshape(-1, len(names)).T))


def compute_fact_precision_recall(scores: dict[str, np.ndarray], rows: np.ndarray | None = None) -> tuple[float, float]:
    """Compute the precision and recall of the stated facts.

    Args:
        scores: as `count_facts` returns them.
        rows: row numbers, which may repeat, or a mask; None selects all rows.
    Returns:
        Precision and recall, pooled over the facts of the selected rows; NaN if the denominator is 0.
    """
    stated, true, present = (
        scores[name][slice(None) if rows is None else rows].sum() for name in ("stated", "true", "present")
    )
    return tuple(float(true / total) if total else float("nan") for total in (stated, present))
