"""One hundred short queries in chemists' words, each with a rule that recognises correct answers by their structure.

Queries of the group "described" use the words of structure descriptions: functional groups, rings, elements and
counts. Queries of the group "unseen" name compound families, many by use or trade. See `word_query_rules` for the way
structures are judged.
"""

from typing import NamedTuple

from . import word_query_rules as rules
from .word_query_rules import ACID, AMINE, NITRO, STEROID, all_of, any_of, chain, has, has_part, none_of

GROUPS = ("described", "unseen")


class WordQuery(NamedTuple):
    """A query, its group (one of `GROUPS`), and the rule for correct answers."""

    text: str
    group: str
    is_right: rules.Rule


DESCRIBED: dict[str, rules.Rule] = {
    # elements and counts
    "contains boron": has("[#5]"),
    "a molecule with three fluorine atoms": has("[F]", 3, 3),
    "exactly four chlorine atoms": has("[Cl]", 4, 4),
    "contains chlorine and a carboxylic acid": all_of("[Cl]", ACID),
    "an ester with a bromine": all_of("[Br]", "[#6][CX3](=O)[OX2][#6;!$(C=[O,S])]"),
    "a hydrochloride salt": all_of(rules.is_organic, any_of("[Cl;D0;+0]", all_of("[Cl-;D0]", "[#7+;!H0;$([#7][#6])]"))),
    "a sodium salt of a sulfonic acid": all_of("[Na+]", "[#6][SX4](=O)(=O)[OX1-]"),
    # functional groups
    "a dicarboxylic acid": has_part(has(ACID, 2, 2)),
    "a long-chain saturated fatty acid": rules.is_fatty_acid,
    "an alpha-amino acid": has(f"[NX3,NX4+;!H0;!$(N~[!#6;!#1]);!$(N~[#6]=[O,S,N])][CX4][$({ACID})]"),
    "a dipeptide": rules.is_dipeptide,
    "a pyranose sugar": has("[CX4;r6]1([#7,#8;!R])[OX2][CX4][CX4][CX4]([#7,#8])[CX4]1[#7,#8]"),
    "a nucleoside": all_of("[#7X3;R]-[CX4;r5]1[OX2][CX4]([CX4H2,CX4H3])[CX4][CX4]1", none_of("[#15]")),
    "a triglyceride": has("[CX4H2](OC(=O)[#6])[CX4H](OC(=O)[#6])[CX4H2]OC(=O)[#6]"),
    "a sulfonamide": has("[#6][SX4](=O)(=O)[$([NX3]),$([NX2-]);!$(N[#7])]"),
    "a sulfone": has("[#6][SX4](=O)(=O)[#6]"),
    "a thiol": has("[#6;!$([#6]=[O,S,N]);!$([#6]#N)][$([SX2H]),$([SX1-])]"),
    "an aromatic nitro compound": has(f"a{NITRO}"),
    "an organophosphate ester": has("[PX4](=O)([OX2][#6])([OX2,OX1-])[OX2,OX1-]"),
    "a quaternary ammonium ion": has("[NX4+]([#6])([#6])([#6])[#6]"),
    "a primary aliphatic amine": has("[CX4][$([NX3H2]),$([NX4H3+])]"),
    "an aliphatic nitrile": has("[CX4]C#N"),
    "a terminal alkyne": has("[CX2H]#[CX2]"),
    "an aromatic aldehyde": has("a[CX3H]=O"),
    "a methyl ketone": has("[CX4H3][CX3](=O)[#6]"),
    "a tertiary alcohol": has("[CX4]([#6])([#6])([#6])[OX2H]"),
    "a secondary alcohol without rings": all_of(rules.has_no_ring, "[#6][CX4H]([#6])[OX2H]"),
    "a phenol with two methyl groups": rules.is_dimethylphenol,
    "a chloroaniline": rules.ring_with("[NX3H2,NX4H3+]", "Cl"),
    # rings
    "a steroid": has(STEROID),
    "an epoxide": has("[#6]1[OX2][#6]1"),
    "a lactone": has("[#6;R]@[#6X3](=[OX1])@[#8X2]@[#6;!$([#6]=[OX1])]"),
    "a cyclopropane": has("C1CC1"),
    "a spiro compound": rules.is_spiro,
    "a morpholine": has("[OX2]1[CX4;R1][CX4;R1][NX3,NX4+][CX4;R1][CX4;R1]1"),
    "a piperazine": has("[NX3,NX4+]1[CX4;R1][CX4;R1][NX3,NX4+][CX4;R1][CX4;R1]1"),
    "a thiophene": has("s1[c;R1][c;R1][c;R1][c;R1]1"),
    "an imidazole": has("[n;R1]1[c;R1][n;R1][c;R1][c;R1]1"),
    "an indole": has("[nX3]1[c;R1][c;R1]c2[c;R1][c;R1][c;R1][c;R1]c12"),
    "a quinoline": has("n1[c;R1][c;R1][c;R1]c2[c;R1][c;R1][c;R1][c;R1]c12"),
    "a purine": has("[#6]1~[#7]~[#6]~[#7]~[#6]2~[#6]~1~[#7]~[#6]~[#7]~2"),
    "a chloropyridine": rules.is_chloropyridine,
    "a phenothiazine drug": has("c1ccc2c(c1)Sc1ccccc1N2[CX4][CX4]"),
}

UNSEEN: dict[str, rules.Rule] = {
    # medicines and natural products
    "a barbiturate": has("[#8;!R]~[#6]1~[#6;!$([#6]=O)]~[#6](~[#8;!R])~[#7]~[#6](~[#8,#16;!R])~[#7]~1"),
    "a benzodiazepine": any_of(
        "c1ccc2c(c1)~[#7]~[#6]~[#6]~[#7]~[#6]~2",
        "c1ccc2c(c1)~[#7]~[#6]~[#6]~[#6]~[#7]~2",
        "c1ccc2c(c1)~[#6]~[#7]~[#7]~[#6]~[#6]~2",
    ),
    "a penicillin": has("[#6](=O)([#8])[CX4]1[CX4]S[CX4]2[NX3]1C(=O)[CX4]2[#7]"),
    "a cephalosporin": has("S1[#6]~[#6]~[#6](C(=O)[#8])[NX3]2[CX4]1[CX4]([#7])C2=O"),
    "an amphetamine": has(f"c1ccccc1[CX4H2][CX4H]([CX4H3])[{AMINE[1:-1]};!R]"),
    "a phenethylamine": has(f"c1ccccc1[CX4;!R][CX4;!R;!$(C[CX3]=O)][{AMINE[1:-1]};!R]"),
    "a morphinan opioid": has("[#7]1~[#6]~[#6]~[#6]23~[#6]~[#6]~[#6]~[#6]~[#6]~2~[#6]~1~[#6]~c1ccccc~1~3"),
    "a tropane alkaloid": has("[NX3,NX4+]1[CX4]2[CX4][CX4][CX4]1[CX4][CX4][CX4]2"),
    "a cardenolide": has("O=[#6]1[#6]=[#6]([CX4]2[CX4][CX4]C3C2CCC2C3CCC3CCCCC23)[#6]O1"),
    "an estrogen-like steroid with an aromatic ring": has(rules.STEROID_OF_AROMATIC_RING_A),
    "a porphyrin or chlorin": has(rules.PORPHYRIN),
    "a chalcone": has("c1ccccc1[CX3;!R](=O)[CX3;!R]=[CX3;!R]c1ccccc1"),
    "a stilbene": has("c1ccccc1[CX3;!R]=[CX3;!R]c1ccccc1"),
    "an aryloxypropanolamine": has(f"cO[CX4H2][CX4H]([OX2H])[CX4H2]{AMINE}"),
    "a methylxanthine": all_of("O=c1[n]c(=O)[n]c2[n][c;!$(c=O)][n]c12", "[CX4H3]n"),
    "a tricyclic antidepressant": has(
        "c1ccc2c(c1)[#6,#8,#16;!$([#6]=O)]~[#6]c1ccccc1[#6,#7]2~[#6;!R]~[#6;!R]~[#6;!R][#7]"
    ),
    "a nitrofuran antibacterial": has(f"{NITRO}[c;R1]1[c;R1][c;R1][c;R1]([#6])o1"),
    "a nitrogen mustard": has("Cl[CX4H2][CX4H2][NX3,NX4+][CX4H2][CX4H2]Cl"),
    "an aminoglycoside": has("[#7]C1CC([#7])C(O)C(O)C1O"),
    # classes by use
    "an azo dye": rules.is_azo_dye,
    "a triarylmethane dye": rules.is_triarylmethane_dye,
    "an anthraquinone dye": rules.is_anthraquinone_dye,
    "a fluorescein or rhodamine dye": has(rules.XANTHENE_DYE),
    "a cationic surfactant": has_part(rules.is_cation, "[$([NX4+]([#6])([#6])([#6])[#6]),$([nX3+])]", chain(8)),
    "a sulfate or sulfonate detergent": has_part(chain(8), "[#6,#8][SX4](=O)(=O)[OX2H,OX1-]", none_of("[#7]")),
    "a phthalate diester": all_of("c1ccc([CX3](=O)[OX2][#6])c([CX3](=O)[OX2][#6])c1", has("c[CX3](=O)[OX2][#6]", 2, 2)),
    "a bisphenol": has("[OX2H,OX1-]c1ccc(cc1)-!@[CX4,S]-!@c1ccc([OX2H,OX1-])cc1"),
    "a glycol ether": has(
        "[#6;!$([#6]=O);!$([CX4][CX4][OX2])][OX2;!R][CX4H2;!R][$([CX4H2]),$([CX4H][CX4H3]);!R][OX2;!R]"
    ),
    "a nitroaromatic explosive": has(f"{NITRO}c1cc({NITRO})cc({NITRO})c1"),
    "a chlorophenoxy herbicide": rules.is_chlorophenoxy_acid,
    "an aryl methylcarbamate insecticide": has("cOC(=O)[NX3H][CX4H3]"),
    "an organothiophosphate": any_of(
        "[PX4;!$(P[#6]);!$(P[Cl])](=S)([OX2][#6])[OX2,SX2][#6]", "[PX4;!$(P[#6])](=O)([OX2][#6])([OX2,SX2])[SX2][#6]"
    ),
    "a polychlorinated biphenyl": rules.is_polychlorinated_biphenyl,
    "a chlorinated dioxin or dibenzofuran": rules.is_chlorinated_dioxin,
    "a polycyclic aromatic hydrocarbon": all_of(rules.consists_of("C"), "c1ccc2ccccc2c1", rules.has_rings(3)),
    "a chlorofluorocarbon or hydrochlorofluorocarbon": rules.is_chlorofluorocarbon,
    "a perfluoroalkyl chain": has("FC(F)(F)[CX4](F)(F)[CX4](F)F"),
    # functional groups by name
    "a polyamine": rules.is_polyamine,
    "a guanidine": has("[CX3](~[#7])(~[#7])~[#7]"),
    "a thiourea": has("[#7X3]C(=S)[#7X3]"),
    "a nitrosamine": has("[#6][NX3;!$(N~[#6]=[O,S,N])]([#6])[NX2]=[OX1]"),
    "a hydrazone": rules.is_hydrazone,
    "an oxime": has("[$([CX3H][#6]),$([CX3]([#6])[#6]),$([CX3H2])]=[NX2][OX2H,OX1-]"),
    "an organic azide": has("[#6]N=[N+]=[N-]"),
    "an aryl diazonium salt": has("[c;!$(cc[O-])][N+]#N"),
    "an organic peroxide": has("[#6][OX2][OX2,OX1-]"),
    "an acyl chloride": has("[#6][CX3](=O)Cl"),
    "an isocyanate": has("[#6][NX2]=C=O"),
    "a dithiocarbamate": has("[#7][C;!R](=S)[#16]"),
    "an acrylate ester": has("[CX3H2]=[CX3H]C(=O)[OX2][#6]"),
    "a methacrylate ester": has("[CX3H2]=C([CX4H3])C(=O)[OX2][#6]"),
    "a siloxane": has("[#14;!$([#14](O)(O)[O;H1,-]);!$([#14]=O)][OX2][#14;!$([#14](O)(O)[O;H1,-]);!$([#14]=O)]"),
    "a fatty alcohol": rules.is_fatty_alcohol,
    "an ester of 4-aminobenzoic acid": has(f"{AMINE}c1[cH]cc([CX3](=O)[OX2][#6])c[cH]1"),
    "an organomercury compound": has("[#6;!$([#6]#N)][Hg]"),
    "an organotin compound": has("[#6;!$([#6]#N)][Sn]"),
    "a Grignard reagent": any_of(all_of("[#6-]", "[Mg+2]", "[Cl-,Br-,I-]"), "[#6][Mg][Cl,Br,I]"),
}

WORD_QUERIES = (
    *(WordQuery(text, "described", rule) for text, rule in DESCRIBED.items()),
    *(WordQuery(text, "unseen", rule) for text, rule in UNSEEN.items()),
)
