"""Every trap that is known of the sources: single molecules, texts and geometries, and what must become of them."""

import numpy as np
from rdkit import Chem

from .geometries import HARTREE, UNWANTED, GEOMShelf, make_conformer
from .world import (
    CLEANED,
    DEDUPLICATED,
    DEPOSITORS,
    HEADING,
    IDENTIFIED,
    JOINED,
    NO_GEOMETRY,
    NO_STRUCTURE,
    TEXTS,
    World,
)

NO_FORMAT = "the record is not in the documented format"
OTHER_MOLECULE = "its CID belongs to another molecule"
UNREADABLE = "RDKit cannot read the SMILES"


def set_traps(world: World) -> None:
    """Add all traps."""
    set_traps_of_annotations(world)
    set_traps_of_wording(world)
    set_traps_of_compounds(world)
    set_traps_of_stereochemistry(world)
    set_traps_of_salts_and_charges(world)
    set_traps_of_matches(world)
    set_traps_of_molecule3d(world)
    set_traps_of_pcqm4mv2(world)
    set_traps_of_qm9(world)
    set_traps_of_pubchemqc(world)
    set_traps_of_geom(world)


def make_block(*paragraphs: str, heading=HEADING) -> dict:
    """A data block of an annotation."""
    return {"TOCHeading": heading, "Value": {"StringWithMarkup": [{"String": text} for text in paragraphs]}}


def set_traps_of_annotations(world: World) -> None:
    molecule, entry = world.settle()
    other, other_entry = world.settle()
    no_compound, name = (TEXTS, "no linked compound"), molecule.title
    world.say(molecule, "It is linked to nothing at all.", refused=no_compound, LinkedRecords=None)
    world.say(molecule, "It is linked to an empty list.", refused=no_compound, LinkedRecords={"CID": []})
    both = {"CID": [molecule.cid, other.cid]}
    world.say(molecule, "A mixture of two.", refused=(TEXTS, "linked to several compounds"), LinkedRecords=both)
    told = "is linked to its compound twice."
    twice = {"CID": [str(molecule.cid), molecule.cid]}
    world.say(molecule, f"{name} {told}", f"The molecule {told}", entry, LinkedRecords=twice)

    elsewhere = [make_block("It is described elsewhere.", heading=HEADING | {"#TOCHeading": "Drug Indication"})]
    no_text = TEXTS, "no text under the heading"
    world.say(molecule, "", refused=no_text, Data=elsewhere)
    world.say(molecule, "", refused=no_text, Data=[make_block("", "  ")])
    parted = make_block(f"{name} is told of in one", "and another paragraph.", heading="Record Description")
    cleaned = "The molecule is told of in one and another paragraph. The molecule has a second block."
    world.say(molecule, "", cleaned, entry, Data=[*elsewhere, parted, make_block(f"{name} has a second block.")])
    world.say(molecule, "", refused=(TEXTS, NO_FORMAT), Data=[make_block("It has a broken letter, \ud835.")])
    world.say(molecule, "It has no known depositor.", refused=(TEXTS, NO_FORMAT), SourceName=None)
    world.say(molecule, "It is linked to a name.", refused=(TEXTS, NO_FORMAT), LinkedRecords={"CID": ["none"]})

    told = "is called nothing by its depositor."
    world.say(other, f"{other.title} {told}", f"The molecule {told}", other_entry, Name=None)
    told = "has an annotation without a number."
    world.say(other, f"{other.title} {told}", f"The molecule {told}", other_entry, ANID=None, Markup=True)


def set_traps_of_wording(world: World) -> None:
    molecule, entry = world.settle()
    name = molecule.title
    told = "is α-bound at its 5′ end, as a cafe\u0301 is."
    world.say(molecule, f"{name} {told}", "The molecule is α-bound at its 5′ end, as a café is.", entry)
    same = f"Salts of {name} are not {name}-like; other mentions of {name} remain."
    world.say(molecule, same, same, entry)
    told = "burns.  It\thas   odd\n spaces."
    world.say(molecule, f"Pure {name} {told}", "The molecule burns. It has odd spaces.", entry)
    world.say(molecule, f"{name} burns.", refused=(CLEANED, "the text has fewer than min_words words"))
    world.say(molecule, "1234 – 5678 = ± 4444 !", refused=(CLEANED, "the text has no letter"))
    said, cleaned = f"{name} is told of by two depositors.", "The molecule is told of by two depositors."
    repeated = DEDUPLICATED, "same molecule and text as another record"
    world.say(molecule, said, cleaned, entry)
    world.say(molecule, said, refused=repeated, depositor=DEPOSITORS[3])
    world.say(molecule, said.replace(name, molecule.synonyms[0]), refused=repeated, depositor=DEPOSITORS[4])


def set_traps_of_compounds(world: World) -> None:
    obsolete = world.take()
    world.misprints[obsolete.cid] = {"InChI-Key": None, "SMILES": None, "Title": None}
    world.describe(obsolete, 0, False, refused=(IDENTIFIED, NO_STRUCTURE))
    world.put("molecule3d", obsolete, UNWANTED)
    wrong = world.take()
    other = world.take()
    for misprint, reason in (
        ({"SMILES": None}, "the record has no SMILES"),
        ({"InChI-Key": f"{wrong.inchi}\t{other.inchikey}"}, "the InChI and the InChIKey of the record differ"),
        ({"InChI-Key": f"{wrong.inchi}\t{wrong.inchikey}"}, "the SMILES and the InChIKey of the record differ"),
    ):
        molecule = world.take()
        world.misprints[molecule.cid], world.refused_compounds[molecule.cid] = misprint, reason
        world.describe(molecule, 0, True, refused=(IDENTIFIED, NO_STRUCTURE))
    molecule, entry = world.settle()
    world.misprints[molecule.cid] = {"Title": "Oxidané".encode("latin-1")}
    world.say(molecule, "Oxidan\ufffd is its title.", "The molecule is its title.", entry, Name=None)
    molecule, entry = world.settle()
    world.misprints[molecule.cid] = {"Title": None}
    told = "has no title in PubChem."
    world.say(molecule, f"{molecule.title} {told}", f"The molecule {told}", entry)


def set_traps_of_stereochemistry(world: World) -> None:
    left, right, mixed = (world.draw(f"C{centre}(Cl)C(=O)OCCCC") for centre in ("[C@H]", "[C@@H]", "C"))
    entry = world.put("molecule3d", left)
    for molecule, level in ((left, "inchikey"), (right, "first_block"), (mixed, "first_block")):
        world.describe(molecule, 0, True, entry=entry, level=level)
    left, mixed = world.draw("C[C@H](Br)C(=O)OCCCC"), world.draw("CC(Br)C(=O)OCCCC")
    entry = world.put("molecule3d", mixed, SMILES=left.smiles)  # one isomer behind the CID of the racemate
    world.describe(left, 0, False, entry=entry)
    world.describe(mixed, 0, False, entry=entry, level="cid")
    left, right = world.draw("C[C@H](F)C(=O)OCCCCCl"), world.draw("C[C@@H](F)C(=O)OCCCCCl")
    world.put("molecule3d", right)
    world.describe(left, 0, False, entry=world.put("geom", left))  # a better match in a later source
    trans, cis = world.draw("CCCC/C=C/CCCCBr"), world.draw("CCCC/C=C\\CCCCBr")
    world.describe(trans, 0, False, entry=world.put("pubchemqc", trans))
    world.describe(cis, 0, False, entry=world.put("pcqm4mv2", cis))
    plain = world.draw("CCCC(C)CCCCCI")
    one = world.draw("CCC[C@H](C)CCCCCI")
    text = world.describe(plain, 0, False, entry=world.put("pubchemqc", plain, shows=one))  # PubChem has no stereo
    text.entry.raw["obabel-inchi"] = one.inchi


def set_traps_of_salts_and_charges(world: World) -> None:
    acid, salt = world.draw("CCCCCCCCC(=O)O"), world.draw("CCCCCCCCC(=O)[O-].[Na+]")
    world.describe(acid, 0, False, entry=world.put("pcqm4mv2", acid))
    world.describe(salt, 0, False, refused=(JOINED, NO_GEOMETRY))
    salt = world.draw("CCCCCCCC[N+](C)(C)C.[Cl-]")
    world.describe(salt, 0, False, entry=world.put("pubchemqc", salt))
    amine, cation = world.draw("CCCCCCCCCCN"), world.draw("CCCCCCCCCC[NH3+]")
    world.describe(cation, 0, False, entry=world.put("geom", amine), level="first_block")
    plain, heavy = world.draw("ClC(Cl)Cl"), world.draw("[2H]C(Cl)(Cl)Cl")
    world.describe(heavy, 0, False, entry=world.put("pcqm4mv2", plain), level="first_block")
    metal = world.draw("[Cu]")
    world.describe(metal, 0, False, entry=world.put("pubchemqc", metal))


def set_traps_of_matches(world: World) -> None:
    first = world.draw("CCCCCCCCCF")
    again = world.draw("FCCCCCCCCC")  # another CID of the same compound
    entry = world.put("molecule3d", again)
    said, repeated = "It is one compound with two numbers.", (DEDUPLICATED, "same molecule and text as another record")
    world.say(first, said, said, entry)
    world.say(again, said, refused=repeated)
    world.describe(again, 0, False, entry=entry)
    lonely = world.draw("CCCCCCCCCCS")
    world.describe(lonely, 0, True, refused=(JOINED, NO_GEOMETRY))
    thiol, alcohol = world.draw("CCCCCCCCCS"), world.draw("CCCCCCCCCO")
    world.put("pubchemqc", thiol, shows=alcohol, pubchem_inchi=None)  # another molecule, by its CID alone
    world.describe(thiol, 0, False, refused=(JOINED, "its geometry has other elements"))
    wrong, sound = world.draw("CCCCCCCCCCl"), world.draw("CCCCCCCCCCCl")
    world.put("molecule3d", wrong, shows=sound)  # another molecule's coordinates; a later source has the right ones
    world.describe(wrong, 0, False, entry=world.put("pcqm4mv2", wrong))
    molecule = world.take()
    entry = world.put("pcqm4mv2", molecule)
    world.put("pcqm4mv2", molecule)  # again, in a later row
    world.describe(molecule, 0, False, entry=entry)


def set_traps_of_molecule3d(world: World) -> None:
    shelf = "molecule3d"
    molecule = world.take()
    world.describe(molecule, 0, False, entry=world.put(shelf, molecule, cid=None, sdf=molecule.mol_block(1)))
    molecule = world.take()
    title = f"PUBCHEM {molecule.cid:09} B3LYP 6-31G(d) gamess geometry optimization"
    entry = world.put(shelf, molecule, cid=None, sdf=title + molecule.mol_block(1))
    entry.raw["title-cid"] = molecule.cid
    world.describe(molecule, 0, False, entry=entry)
    for refused_as, reason, change in (
        ("{place}", UNREADABLE, {"SMILES": "C(C"}),
        ("{place}", "it has no mol block", {"sdf": None}),
        ("{place}", "the CIDs of its column and its title differ", {"sdf": "PUBCHEM 000000009 B3LYP\n"}),
        ("{cid}", "RDKit cannot read it as SDF", {"sdf": "garbage"}),
    ):
        molecule = world.take()
        world.put(shelf, molecule, reason, refused_as, **change)
        world.describe(molecule, 0, False, entry=world.put("geom", molecule))  # the next source that has it
    flat, small = world.take(), world.take()
    world.put(shelf, flat, "the coordinates are 2D", sdf=scale(flat, [1, 1, 0], "2D"))
    world.put(shelf, small, "its coordinates look like nanometres", sdf=scale(small, [0.1] * 3, "3D"))
    for molecule in (flat, small):
        world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))
    molecule, other = world.take(), world.take()
    world.put(shelf, molecule, OTHER_MOLECULE, "CID {cid}", SMILES=other.smiles, sdf=other.mol_block(1))
    world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))
    world.describe(other, 0, False, entry=world.put("pubchemqc", other))


def scale(molecule, factors: list[float], dimension: str) -> str:
    """The mol block of a molecule whose coordinates are multiplied by the factors."""
    copy = Chem.Mol(molecule.mol)
    copy.GetConformer().SetPositions(molecule.positions(1) * np.array(factors))
    copy.GetConformer().Set3D(dimension == "3D")
    return Chem.MolToMolBlock(copy)


def set_traps_of_pcqm4mv2(world: World) -> None:
    molecule, other = world.take(), world.draw("CCCCCCCCCP")
    world.put("pcqm4mv2", molecule, "record and row differ in their heavy atoms", shows=other)
    world.describe(molecule, 0, False, entry=world.put("qm9", molecule))
    world.put("pcqm4mv2", world.take(), UNREADABLE, smiles="C1CC")


def set_traps_of_qm9(world: World) -> None:
    molecule = world.take()
    high = world.put("qm9", molecule)
    low = f"{float(molecule.row['InternalEnergy_0K_au']) - 0.01:.6f}"
    again = {"Index": "900001", "XYZ_file": "dsgdb9nsd_900001.xyz"}
    world.describe(molecule, 0, False, entry=world.put("qm9", molecule, InternalEnergy_0K_au=low, **again))
    assert high.energy > float(low) * HARTREE
    molecule = world.take()
    world.put(
        "qm9", molecule, "an element symbol is unknown", Elements=molecule.row["Elements"].replace("'H'", "'Xx'", 1)
    )
    world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))
    world.put("qm9", world.take(), "not an InChI", InChi="nothing")


def set_traps_of_pubchemqc(world: World) -> None:
    shelf = "pubchemqc"
    for reason, change in (
        ("state is not S0", {"state": "T1"}),
        ("its coordinates are not three per atom", {"coordinates": [0.0] * 5}),
        ("not an InChI", {"pubchem_inchi": "nothing"}),
    ):
        molecule = world.take()
        world.put(shelf, molecule, reason, **change)
        world.describe(molecule, 0, False, entry=world.put("geom", molecule))
    molecule = world.take()
    world.describe(molecule, 0, False, entry=world.put(shelf, molecule, pubchem_inchi=None), level="cid")
    molecule = world.take()
    name = 'a { of "cid": 5} and \n    {\n        "cid": 6,\n    }'
    world.describe(molecule, 0, False, entry=world.put(shelf, molecule, name=name))
    molecule = world.take()
    entry = world.put(shelf, molecule)
    entry.raw = {"cid": molecule.cid, **dict(reversed(entry.raw.items()))}  # keys in another order
    world.describe(molecule, 0, False, entry=entry)
    molecule, other = world.take(), world.take()
    world.put(shelf, molecule, OTHER_MOLECULE, "CID {cid}", pubchem_inchi=other.inchi)
    world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))


def set_traps_of_geom(world: World) -> None:
    molecule, isomer = world.draw("CCCCCCCCCCO"), world.draw("CCCCCCOCCCC")
    world.put("geom", molecule, "a conformer is of another molecule than its SMILES", shows=isomer)  # it has reacted
    world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))
    for reason, conformers in (
        ("it has no conformers with an energy", lambda one: [make_conformer(one, GEOMShelf.variant, None)]),
        (
            "it has no conformers with an energy",
            lambda one: [make_conformer(one, GEOMShelf.variant, float("nan"))],
        ),
        ("its conformers differ in their atoms or atom order", lambda one: mix(one, [isomer])),
    ):
        molecule = world.take()
        world.put("geom", molecule, reason, entry={"conformers": conformers(molecule)})
        world.describe(molecule, 0, False, refused=(JOINED, NO_GEOMETRY))
    molecule = world.take()
    variant = GEOMShelf.variant
    known = {"conformers": [make_conformer(molecule, variant, None), make_conformer(molecule, variant, -11.39)]}
    entry = world.put("geom", molecule, entry=known)
    entry.n_conformers = 1
    world.describe(molecule, 0, False, entry=entry)
    world.put("geom", world.take(), "its key is not a SMILES", key=7)
    world.put("geom", world.take(), UNREADABLE, key="C1CC")


def mix(molecule, others) -> list[dict]:
    """Conformers of different molecules."""
    return [make_conformer(one, GEOMShelf.variant, -1.0) for one in (molecule, *others)]
