"""Functional groups as SMARTS: groups to count, and patterns that put a molecule into a class.

Names come from ChEBI, or from IUPAC if ChEBI has none. A pattern begins with the atom that is counted. Each line has
the name, the elements that the pattern requires or the groups of which it requires one, and the pattern.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from rdkit import Chem

MACROS = {
    "{benzene}": "[c;$([cR1]1[cR1][cR1][cR1][cR1][cR1]1)]",  # an atom of a benzene ring that is not fused
    "{C}": "[#6;!$([#6]=[O,S,N])]",  # non-carbonyl carbon, possibly in an aromatic ring
    "{acyl}": "[$([CX3H1,CX3H2](=O)),$([CX3](=O)[#6])]",  # carbonyl carbon of an aldehyde, ketone, acid or amide
    "{amine}": "!$([#7][#6]=[O,S,N,P]);!$([#7]~[!#6;!#1])",  # nitrogen, except of amides, amidines and hydrazines
}
GROUPS = """
hydroxy group | O | [OX2H1;$(O[#6;!$([CX3]=[O,S,N])])]
phenolic hydroxy group | O | [OX2H1;$(O[c;$(c1[c]cccc1),$(c1ccccc1)])]
carboxy group | O | [CX3;$(C(=O)[OX2H1]);!$(C(=O)([OX2H1])[O,N,S,P])]
carboxylate group | O | [CX3;$(C(=O)[OX1-]);!$(C(=O)([O-])[O,N,S,P])]
ester group | O | [CX3;$([CH1](=O)[OX2]{C}),$(C(=O)([#6])[OX2]{C})]
carbonate ester group | O | [CX3;$(C(=O)([OX2][#6])[OX2][#6])]
carbamate group | N,O | [CX3;$(C(=O)([#7X3])[OX2][#6])]
acid anhydride group | O | [OX2;$(O([CX3](=O)[#6])[CX3](=O)[#6])]
keto group | O | [CX3;$(C(=O)([#6])[#6])]
formyl group | O | [CX3H1;$(C(=O)[#6])]
ether group | O | [OX2;$(O({C}){C});!$(O[CX4][OX2,NX3]);!r3]
epoxide group | O | [OX2r3;$(O1[#6][#6]1)]
acetal group | O | [CX4;$(C([OX2][#6])[OX2][#6]);!$(C([OX2])([OX2])[OX2])]
hemiacetal group | O | [CX4;$(C([OX2H1])[OX2][#6]);!$(C([OX2])([OX2])[OX2])]
enol group | O | [OX2H1;$(O[CX3]=[CX3])]
amide group | N,O | [CX3;$([CX3H1](=O)[#7X3]),$(C(=O)([#6])[#7X3]);!$(C(=O)N[CX3]=O)]
imide group | N,O | [NX3;$(N([CX3](=O)[#6])[CX3](=O)[#6])]
urea group | N,O | [CX3;$(C(=O)([NX3;!$(N[CX3](=O)[#6]);!$(N~[!#6;!#1])])[NX3;!$(N~[!#6;!#1])])]
hydroxamic acid group | N,O | [CX3;$(C(=O)[NX3][OX2H1]);!$(C(=O)(N)[N,O])]
acylhydrazine group | N,O | [CX3;$(C(=O)[NX3;!$(N-N=*)][NX3;!$(N=*)]);!$(C(=O)(N)[N,O])]
primary amino group | N | [NX3H2;$(N[#6]);{amine}]
secondary amino group | N | [NX3H1;$(N([#6])[#6]);{amine}]
tertiary amino group | N | [NX3H0;$(N([#6])([#6])[#6]);{amine}]
ammonium group | N | [NX4+;$([N;H1,H2,H3][#6])]
quaternary ammonium group | N | [NX4+H0;$(N([#6])([#6])([#6])[#6])]
amine oxide group | N,O | [NX4+H0;$([N+]([#6])([#6])([#6])[OX1-])]
aromatic N-oxide group | N,O | [nX3+;$([n+][OX1-])]
amidine group | N | [CX3;$(C(=[NX2;!$(N~[#7,#8])])[NX3;!$(N~[#7,#8])]);!$(C(N)(N)=N);!$(C(~N)~[O,S])]
imine group | N | [CX3;$(C(=[NX2;$(N[#6]),H1])[#6]);!$(C(=N)[#7,#8,#16])]
nitrile group | N | [CX2;$(C(#[NX1])[#6])]
isothiocyanate group | N,S | [CX2;$(C(=[NX2][#6])=[SX1])]
thiocyanate group | N,S | [CX2;$(C(#[NX1])[SX2][#6])]
nitro group | N,O | [NX3+;$([N+](=O)([O-])[#6])]
nitrate ester group | N,O | [NX3+;$([N+](=O)([O-])[OX2][#6])]
thiol group | S | [SX2H1;$(S[#6;!$([CX3]=[O,S,N])])]
sulfide group | S | [SX2;$(S({C}){C})]
disulfide group | S | [SX2;$(S([#6])[SX2][#6])]
thioester group | S,O | [CX3;$(C(=O)[SX2][#6]);!$(C(=O)(S)[#7,#8,#16])]
sulfoxide group | S,O | [SX3;$(S(=O)([#6])[#6])]
sulfone group | S,O | [SX4;$(S(=O)(=O)([#6])[#6])]
sulfonamide group | S,N,O | [SX4;$(S(=O)(=O)([#6])[#7])]
sulfamide group | S,N,O | [SX4;$(S(=O)(=O)([#7])[#7])]
sulfonic acid group | S,O | [SX4;$(S(=O)(=O)([#6])[OX2H1])]
sulfonate group | S,O | [SX4;$(S(=O)(=O)([#6])[OX1-])]
sulfonate ester group | S,O | [SX4;$(S(=O)(=O)([#6])[OX2][#6])]
sulfate ester group | S,O | [SX4;$(S(=O)(=O)([OX2][#6])[OX2,OX1-])]
thioamide group | S,N | [CX3;$(C(=[SX1])[NX3]);!$(C(=S)(N)[#7,#8,#16])]
phosphate group | P,O | [PX4;$(P(=O)([OX2,OX1-])([OX2,OX1-])[OX2][#6])]
diphosphate group | P,O | [OX2;$(O(P(=O)([OX2,OX1-])[OX2,OX1-])P(=O)([OX2,OX1-])[OX2,OX1-])]
phosphonic acid group | P,O | [PX4;$(P(=O)([#6])([OX2H1])[OX2H1,OX1-])]
phosphonate ester group | P,O | [PX4;$(P(=O)([#6])([OX2][#6])[OX2,OX1-])]
phosphane group | P | [PX3;$(P([#6])([#6])[#6])]
phosphane oxide group | P,O | [PX4;$(P(=O)([#6])([#6])[#6])]
boronic acid group | B,O | [BX3;$(B([#6])([OX2H1])[OX2H1])]
boronic ester group | B,O | [BX3;$(B([#6])([OX2][#6])[OX2][#6])]
trifluoromethyl group | F | [CX4;$(C(F)(F)(F)[!F])]
difluoromethyl group | F | [CX4H1;$(C(F)(F)[!F])]
trichloromethyl group | Cl | [CX4;$(C(Cl)(Cl)(Cl)[!Cl])]
methoxy group | O | [CX4H3;$(C[OX2]{C})]
ethoxy group | O | [CX4H2;$(C([CH3])[OX2]{C})]
methyl group | C | [CX4H3;$(C[#6;R]),$(C[CX4;D3,D4]),$(C[CX3;D3]=[#6])]
N-methyl group | N | [CX4H3;$(C[#7;!$([N+](=O)[O-])])]
S-methyl group | S | [CX4H3;$(C[#16])]
tert-butyl group | C | [CX4H0;$(C([CH3])([CH3])[CH3])]
isopropyl group | C | [CX4H1;$(C([CH3])([CH3])[!#1;!$([CX4H2])])]
gem-dimethyl group | C | [CX4H0;$(C([CH3])([CH3])(*)*);!$(C([CH3])([CH3])[CH3])]
acetyl group | O | [CX3;$(C(=O)([CH3])[!$([OX2H1,OX1-])])]
benzoyl group | O | [CX3;$(C(=O)(c1[cH][cH][cH][cH][cH]1)[!$([OX2H1,OX1-])])]
acetoxy group | O | [CX3;$(C(=O)([CH3])[OX2][#6])]
acetamido group | N,O | [CX3;$(C(=O)([CH3])[NX3])]
phenyl group | C | [cH0;$(c1[cH][cH][cH][cH][cH]1)]
benzyl group | C | [CX4H2;$(Cc1[cH][cH][cH][cH][cH]1)]
vinyl group | C | [CX3H2;$(C=[CX3H1])]
hydroxymethyl group | O | [CX4H2;$(C([OX2H1])[#6])]
prenyl group | C | [CX3H0;$(C([CH3])([CH3])=[CH1][CX4H2])]
dimethylamino group | N | [NX3;$(N([CH3])([CH3])[#6;!$([#6]=[O,S,N])])]
tert-butoxycarbonyl group | N,O | [CX3;$(C(=O)(O[CX4]([CH3])([CH3])[CH3])[#7])]
benzyloxycarbonyl group | N,O | [CX3;$(C(=O)(O[CH2]c1ccccc1)[#7])]
methylsulfonyl group | S,O | [SX4;$(S(=O)(=O)([CH3])*)]
tosyl group | S,O | [SX4;$(S(=O)(=O)(*)c1ccc([CH3])cc1)]
trimethylsilyl group | Si | [SiX4;$([Si]([CH3])([CH3])[CH3])]
"""
CLASSES = """
primary alcohol | hydroxy group | [OX2H1;$(O[CX4;H2,H3])]
secondary alcohol | hydroxy group | [OX2H1;$(O[CX4H1]([#6])[#6])]
tertiary alcohol | hydroxy group | [OX2H1;$(O[CX4H0]([#6])([#6])[#6])]
allylic alcohol | hydroxy group | [OX2H1;$(O[CX4][CX3]=[CX3])]
aromatic ether | ether group | [OX2;$(O(c){C});!$(O1@c@c@c@c1)]
diaryl ether | ether group | [OX2;$(O(c)c)]
aliphatic ether | ether group | [OX2;!R;$(O([CX4])[CX4])]
cyclic ether | ether group | [OX2;R;!r3;$(O(@[#6])@[#6]);$(O([CX4])[#6]);!$(O[#6]=[O,S,N]);!$(O[CX4][OX2])]
cyclic acetal | acetal group | [CX4;R;$(C(@[OX2]@[#6])@[OX2]@[#6])]
lactol | hemiacetal group | [CX4;R;$(C([OX2H1])@[OX2]@[#6])]
aromatic ketone | keto group | [CX3;$(C(=O)(c)[#6])]
methyl ketone | keto group | [CX3;$(C(=O)([CH3])[#6])]
cyclic ketone | keto group | [CX3;R;$(C(=O)(@[#6])@[#6])]
beta-diketone | keto group | [CX3;$(C(=O)([#6])[CX4][CX3](=O)[#6]);!$(C[CX4][CX3](=O)[O,N])]
p-quinone | keto group | [CX3;R;$(C1(=O)[#6]=,:[#6]C(=O)[#6]=,:[#6]1)]
o-quinone | keto group | [CX3;R;$(C1(=O)C(=O)[#6]=,:[#6][#6]=,:[#6]1),$(C1(=O)C(=O)[#6]:[#6][#6]=[#6]1)]
alpha-hydroxy ketone | keto group | [CX3;$(C(=O)([#6])[CX4][OX2H1])]
beta-hydroxy ketone | keto group | [CX3;$(C(=O)([#6])[CX4][CX4][OX2H1])]
enone | keto group | [CX3;$(C(=O)([#6])[CX3]=[CX3])]
enal | formyl group | [CX3H1;$(C(=O)[CX3]=[CX3])]
alpha,beta-unsaturated monocarboxylic acid | carboxy group | [CX3;$(C(=O)([OX2H1])[CX3]=[CX3])]
enoate ester | ester group | [CX3;$(C(=O)([OX2][#6])[CX3]=[CX3;!$([CX3H2])])]
enamide | amide group | [CX3;$(C(=O)([NX3])[CX3]=[CX3])]
methyl ester | ester group | [CX3;$(C(=O)[OX2][CX4H3]);!$(C(=O)(O)[#7,#8])]
ethyl ester | ester group | [CX3;$(C(=O)[OX2][CX4H2][CX4H3]);!$(C(=O)(O)[#7,#8])]
acetate ester | ester group | [CX3;$(C(=O)([CH3])[OX2]{C})]
benzoate ester | ester group | [CX3;$(C(=O)([OX2]{C}){benzene})]
lactone | O | [#6X3;R;$([#6](=[OX1])(@[#6])@[#8X2]@[#6])]
gamma-lactone | O | [#6X3;r5;$([#6]1(=[OX1])~[#6]~[#6]~[#6]~[#8X2]~1)]
delta-lactone | O | [#6X3;r6;$([#6]1(=[OX1])~[#6]~[#6]~[#6]~[#6]~[#8X2]~1)]
beta-lactone | O | [CX3;r4;$(C1(=O)[#6][#6]O1)]
primary carboxamide | amide group | [NX3H2;$(N{acyl})]
secondary carboxamide | amide group | [NX3H1;$(N({acyl}){C})]
tertiary carboxamide | amide group | [NX3H0;$(N({acyl})({C}){C})]
lactam | amide group | [CX3;R;$(C(=O)(@[#6])@[NX3;!$(N(C=O)C=O)])]
beta-lactam | amide group | [CX3;r4;$(C1(=O)[#6][#6]N1)]
dicarboximide | imide group | [NX3;R;$(N(@[CX3](=O)@[#6])@[CX3](=O)@[#6])]
benzamides | amide group | [CX3;$(C(=O)([NX3]){benzene})]
acetamides | amide group | [CX3;$(C(=O)([CH3])[NX3])]
formamides | amide group | [CX3H1;$(C(=O)[NX3])]
anilide | amide group | [NX3;$(N({acyl}){benzene})]
N-acylpiperidine | amide group | [NX3;$(N1({acyl})CCCCC1)]
N-acylpiperazine | amide group | [NX3;$(N1({acyl})CC[#7]CC1)]
N-alkylpiperazine | tertiary amino group | [NX3;$(N1([CX4])CC[#7]CC1)]
N-arylpiperazine | tertiary amino group | [NX3;$(N1(c)CC[#7]CC1)]
N-acyl-amino acid | carboxy group/carboxylate group | [CX4;$(C([NX3]{acyl})[CX3](=O)[OX2H1,OX1-])]
N-acylglycine | carboxy group/carboxylate group | [CX4H2;$(C([NX3H1]{acyl})[CX3](=O)[OX2H1,OX1-])]
primary amine | primary amino group | [NX3H2;$(N[CX4]);{amine}]
secondary amine | secondary amino group | [NX3H1;$(N([CX4])[CX4]);{amine}]
tertiary amine | tertiary amino group | [NX3H0;$(N([CX4])([CX4])[CX4]);{amine}]
primary arylamine | primary amino group | [NX3H2;$(Nc);{amine}]
aromatic amine | primary amino group/secondary amino group/tertiary amino group | [NX3;$(Nc);{amine}]
substituted aniline | primary amino group/secondary amino group/tertiary amino group | [NX3;$(N{benzene});{amine}]
amino alcohol | primary amino group/secondary amino group/tertiary amino group | [NX3;$(N[CX4][CX4][OX2H1]),$(N[CX4][CX4][CX4][OX2H1]);{amine}]
aminopyridine | primary amino group/secondary amino group/tertiary amino group | [NX3;$(N[c;$(c1n[cR1][cR1][cR1][cR1]1),$(c1[cR1]n[cR1][cR1][cR1]1),$(c1[cR1][cR1]n[cR1][cR1]1)]);{amine}]
aminopyrimidine | primary amino group/secondary amino group/tertiary amino group | [NX3;$(N[c;$(c1ncncc1),$(c1ncccn1),$(c1cncnc1)]);{amine}]
biphenyls | C | [c;$(c1(-c2[c]cccc2)ccccc1)]
aromatic amide | amide group | [CX3;$(C(=O)([#7X3])c)]
pyridinium ion | N | [nX3+;$([n+]1([#6])ccccc1)]
aliphatic nitrile | nitrile group | [CX2;$(C(#N)[CX4])]
aryl sulfide | sulfide group | [SX2;$(S(c){C})]
aliphatic sulfide | sulfide group | [SX2;$(S([CX4])[CX4])]
arenesulfonic acid | sulfonic acid group | [SX4;$(S(=O)(=O)(c)[OX2H1])]
aryl sulfate | sulfate ester group | [SX4;$(S(=O)(=O)([OX2]c)[OX2H1,OX1-])]
alkyl sulfate | sulfate ester group | [SX4;$(S(=O)(=O)([OX2][CX4])[OX2H1,OX1-])]
methanesulfonate ester | sulfonate ester group | [SX4;$(S(=O)(=O)([CH3])[OX2][#6])]
phosphate monoester | phosphate group | [PX4;$(P(=O)([OX2][#6])([OX2H1,OX1-])[OX2H1,OX1-])]
phosphate diester | phosphate group | [PX4;$(P(=O)([OX2][#6])([OX2][#6])[OX2H1,OX1-])]
phosphate triester | phosphate group | [PX4;$(P(=O)([OX2][#6])([OX2][#6])[OX2][#6])]
phenols | phenolic hydroxy group | [OX2H1;$(O[c;$(c1ccccc1)])]
catechols | phenolic hydroxy group | [cH0R1;$([cR1]1([OX2H1])[cR1]([OX2H1])[cR1][cR1][cR1][cR1]1)]
resorcinols | phenolic hydroxy group | [cH0R1;$([cR1]1([OX2H1])[cR1][cR1]([OX2H1])[cR1][cR1][cR1]1)]
hydroquinones | phenolic hydroxy group | [cH0R1;$([cR1]1([OX2H1])[cR1][cR1][cR1]([OX2H1])[cR1][cR1]1)]
guaiacols | phenolic hydroxy group | [cH0R1;$([cR1]1([OX2H1])[cR1]([OX2][CH3])[cR1][cR1][cR1][cR1]1)]
phloroglucinols | phenolic hydroxy group | [cH0R1;$([cR1]1([OX2H1])[cR1][cR1]([OX2H1])[cR1][cR1]([OX2H1])[cR1]1)]
benzoic acids | carboxy group | [CX3;$(C(=O)([OX2H1]){benzene})]
benzoates | carboxylate group | [CX3;$(C(=O)([OX1-]){benzene})]
hydroxybenzoic acid | carboxy group | [CX3;$(C(=O)([OX2H1])[c;$(c1c([OX2H1])cccc1),$(c1cc([OX2H1])ccc1),$(c1ccc([OX2H1])cc1)])]
methoxybenzoic acid | carboxy group | [CX3;$(C(=O)([OX2H1])[c;$(c1c(O[CH3])cccc1),$(c1cc(O[CH3])ccc1),$(c1ccc(O[CH3])cc1)])]
benzaldehydes | formyl group | [CX3H1;$(C(=O){benzene})]
acetophenones | keto group | [CX3;$(C(=O)([CH3]){benzene})]
benzophenones | keto group | [CX3;$(C(=O)({benzene}){benzene})]
benzyl alcohols | hydroxy group | [CX4H2;$(C([OX2H1]){benzene})]
cinnamic acids | carboxy group/carboxylate group | [CX3;$(C(=O)([OX2H1,OX1-])[CX3]=[CX3]{benzene})]
cinnamate ester | ester group | [CX3;$(C(=O)([OX2][#6])[CX3]=[CX3]{benzene})]
phenylacetic acids | carboxy group | [CX3;$(C(=O)([OX2H1])[CX4H2]{benzene})]
benzonitriles | nitrile group | [CX2;$(C(#N){benzene})]
nitrobenzenes | nitro group | [NX3+;$([N+](=O)([O-]){benzene})]
nitrophenol | nitro group | [NX3+;$([N+](=O)([O-])[c;$(c1c([OH])cccc1),$(c1cc([OH])ccc1),$(c1ccc([OH])cc1)])]
benzenesulfonamides | sulfonamide group | [SX4;$(S(=O)(=O)([#7]){benzene})]
(trifluoromethyl)benzenes | trifluoromethyl group | [CX4;$(C(F)(F)(F){benzene})]
pyridinecarboxamide | amide group | [CX3;$(C(=O)([NX3])[c;$(c1n[cR1][cR1][cR1][cR1]1),$(c1[cR1]n[cR1][cR1][cR1]1),$(c1[cR1][cR1]n[cR1][cR1]1)])]
pyridinemonocarboxylic acid | carboxy group | [CX3;$(C(=O)([OX2H1])[c;$(c1n[cR1][cR1][cR1][cR1]1),$(c1[cR1]n[cR1][cR1][cR1]1),$(c1[cR1][cR1]n[cR1][cR1]1)])]
terminal acetylenic compound | C | [CX2H1;$(C#[CX2])]
diene | C | [CX3;$(C=[CX3][CX3]=[CX3])]
alpha-amino acid | carboxy group/carboxylate group | [CX4;$(C([NX3,NX4+;!$(N[#6]=[O,S,N]);!$(N~[!#6;!#1])])[CX3](=O)[OX2H1,OX1-])]
beta-amino acid | carboxy group/carboxylate group | [CX4;$(C([NX3,NX4+;!$(N[#6]=[O,S,N]);!$(N~[!#6;!#1])])[CX4][CX3](=O)[OX2H1,OX1-])]
gamma-amino acid | carboxy group/carboxylate group | [CX4;$(C([NX3,NX4+;!$(N[#6]=[O,S,N]);!$(N~[!#6;!#1])])[CX4][CX4][CX3](=O)[OX2H1,OX1-])]
alpha-amino acid ester | ester group | [CX4;$(C([NX3,NX4+;!$(N[#6]=[O,S,N]);!$(N~[!#6;!#1])])[CX3](=O)[OX2][#6])]
amino acid amide | amide group | [CX4;$(C([NX3,NX4+;!$(N[#6]=[O,S,N]);!$(N~[!#6;!#1])])[CX3](=O)[NX3])]
2-hydroxy carboxylic acid | carboxy group/carboxylate group | [CX3;$(C(=O)([OX2H1,OX1-])[CX4][OX2H1])]
3-hydroxy carboxylic acid | carboxy group/carboxylate group | [CX3;$(C(=O)([OX2H1,OX1-])[CX4][CX4][OX2H1])]
2-oxo carboxylic acid | carboxy group/carboxylate group | [CX3;$(C(=O)([OX2H1,OX1-])[$([CX3](=O)[#6]),$([CX3H1]=O)])]
3-oxo carboxylic acid | carboxy group/carboxylate group | [CX3;$(C(=O)([OX2H1,OX1-])[CX4][CX3](=O)[#6])]
phenolate anion | O | [OX1-;$([O-]c)]
cyclopropanecarboxylate ester | ester group | [CX3;$(C(=O)([OX2][#6])[CX4]1[CX4][CX4]1)]
O-acylcarnitine | ester group | [CX4;$(C(OC(=O)[#6])(CC(=O)[OH,O-])C[N+]([CH3])([CH3])[CH3])]
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name, the required elements (atomic numbers), groups of which one is required, and its pattern."""

    name: str
    needs: frozenset[int]
    groups: frozenset[str]
    pattern: Chem.Mol


def count_groups(mol: Chem.Mol, elements: frozenset[int]) -> dict[str, int]:
    """Count those of `GROUPS` that a molecule has.

    Args:
        mol: the molecule.
        elements: its elements, as atomic numbers.
    """
    groups, _ = read_rules()
    found = {}
    for rule in groups:
        if rule.needs <= elements and (number := len(mol.GetSubstructMatches(rule.pattern))):
            found[rule.name] = number
    return found


def find_classes(mol: Chem.Mol, elements: frozenset[int], groups: Collection[str]) -> set[str]:
    """Find those of `CLASSES` that a molecule belongs to.

    Args:
        mol: the molecule.
        elements: its elements, as atomic numbers.
        groups: those of `GROUPS` that it has.
    """
    _, classes = read_rules()
    possible = (
        rule for rule in classes if rule.needs <= elements and (not rule.groups or not rule.groups.isdisjoint(groups))
    )
    return {rule.name for rule in possible if mol.HasSubstructMatch(rule.pattern)}


@cache
def read_rules() -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """Return the rules of `GROUPS` and of `CLASSES`."""
    return _read(GROUPS), _read(CLASSES)


def _read(table: str) -> tuple[Rule, ...]:
    rules = []
    for line in table.strip().splitlines():
        name, needs, smarts = line.split(" | ", 2)
        for macro, meaning in MACROS.items():
            smarts = smarts.replace(macro, meaning)
        groups = frozenset(needs.split("/")) if "group" in needs else frozenset()
        symbols = [] if groups else needs.split(",")
        numbers = frozenset(Chem.GetPeriodicTable().GetAtomicNumber(symbol) for symbol in symbols)
        pattern = Chem.MolFromSmarts(smarts)
        assert pattern is not None, line
        rules.append(Rule(name, numbers, groups, pattern))
    return tuple(rules)
