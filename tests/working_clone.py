"""The working directory of the documentation's code blocks: a clone of the repository after some use.

Besides files of the repository it holds the tables, datasets and models that the pages name. The tables have a few
well-known molecules. The captioner and the predictor have random weights, except for the released geometry tower.
"""

import csv
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELEASED = ROOT / "release" / "geomclip-mini"
COPIED = ("configs", "docs", "eval", "examples", "release", "research", "Makefile", "pyproject.toml")
LINKED = ("modeling_geomclip", "dataset_pubchem3d", "geomclip_tools", "tests", "train_accelerate.py")
MOLECULES = """
CCO ethanol: a primary alcohol that yeast makes from sugar
CO methanol: the simplest alcohol, a toxic solvent
CC(C)O isopropanol: a secondary alcohol used as a disinfectant
OCC(O)CO glycerol: a triol, the backbone of fats
OCCO ethylene glycol: a diol used as antifreeze
CC(C)=O acetone: the simplest ketone, a common solvent
O=C1CCCCC1 cyclohexanone: a cyclic ketone with six ring carbons
CC=O acetaldehyde: an aldehyde that forms from ethanol in the liver
O=Cc1ccccc1 benzaldehyde: an aromatic aldehyde that smells of almonds
COc1cc(C=O)ccc1O vanillin: a phenolic aldehyde, the aroma of vanilla
CC(=O)O acetic acid: a carboxylic acid, the sour part of vinegar
O=C(O)c1ccccc1 benzoic acid: an aromatic carboxylic acid used as a preservative
CC(O)C(=O)O lactic acid: a hydroxy acid that forms in sour milk
OC(=O)CC(O)(C(=O)O)CC(=O)O citric acid: a tricarboxylic acid of citrus fruits
CCCCCCCCCCCCCCCC(=O)O palmitic acid: a saturated fatty acid with sixteen carbons
CC(=O)Oc1ccccc1C(=O)O aspirin: an acetate ester of salicylic acid that relieves pain
CC(C)Cc1ccc(cc1)C(C)C(=O)O ibuprofen: an anti-inflammatory propionic acid
CC(=O)Nc1ccc(O)cc1 paracetamol: an acetamide of aminophenol that relieves fever
CCOC(C)=O ethyl acetate: an ester used as a solvent
CN1C=NC2=C1C(=O)N(C)C(=O)N2C caffeine: a trimethylxanthine, a stimulant of coffee and tea
CN1CCCC1c1cccnc1 nicotine: a pyridine alkaloid of tobacco
NCCc1ccc(O)c(O)c1 dopamine: a catecholamine neurotransmitter
NCCc1c[nH]c2ccc(O)cc12 serotonin: an indole neurotransmitter
NCCc1c[nH]cn1 histamine: an imidazole amine of allergic reactions
NCC(=O)O glycine: the smallest amino acid
CC(N)C(=O)O alanine: an amino acid with a methyl side chain
NC(Cc1ccccc1)C(=O)O phenylalanine: an aromatic amino acid
NC(Cc1c[nH]c2ccccc12)C(=O)O tryptophan: an amino acid with an indole side chain
OCC1OC(O)C(O)C(O)C1O glucose: a hexose, a simple sugar
NC(N)=O urea: the diamide of carbonic acid in urine
c1ccccc1 benzene: the simplest aromatic hydrocarbon
Cc1ccccc1 toluene: a benzene ring with a methyl group
Oc1ccccc1 phenol: a benzene ring with a hydroxy group
Nc1ccccc1 aniline: the simplest aromatic amine
c1ccc2ccccc2c1 naphthalene: a hydrocarbon of two fused benzene rings
c1ccncc1 pyridine: an aromatic ring with one nitrogen
C1CCOC1 tetrahydrofuran: a cyclic ether used as a solvent
CS(C)=O dimethyl sulfoxide: a polar solvent that contains sulfur
ClC(Cl)Cl chloroform: methane with three chlorine atoms
CC(C)=CCCC(C)=CCO geraniol: an unsaturated terpene alcohol of roses
"""
UNSEEN = ["CC#N", "CN(C)C=O", "C1CCCCC1"]  # a list of held-out molecules


def list_molecules() -> list[tuple[str, str, str]]:
    """Return SMILES, name and description of each molecule."""
    lines = [line.split(" ", 1) for line in MOLECULES.strip().splitlines()]
    return [(smiles, *text.split(": ")) for smiles, text in lines]


def build_clone(folder: Path) -> None:
    """Make the working directory of the pages."""
    for name in COPIED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    copy_folder(folder / "release" / "geomclip-mini", folder / "geomclip-mini")
    copy_folder(folder / "release" / "geomclip-mini", folder / "geomclip")
    write_tables(folder)
    save_models(folder)
    build_dataset(folder)


def write_tables(folder: Path) -> None:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    from dataset_pubchem3d.chemistry.identity import compute_inchikey, take_first_block

    molecules = list_molecules()
    pairs = [(smiles, f"{name.capitalize()} is {description}.") for smiles, name, description in molecules]
    gaps = [(smiles, name, 4 + len(smiles) % 7 / 2) for smiles, name, _ in molecules]
    for name, header, rows in (("pairs", ("smiles", "text"), pairs), ("molecules", ("smiles", "name", "gap"), gaps)):
        with (folder / f"my_{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
    blocks = [take_first_block(compute_inchikey(smiles)) for smiles in UNSEEN]
    (folder / "holdout_first_blocks.txt").write_text("\n".join(blocks) + "\n")
    with Chem.SDWriter(str(folder / "library.sdf")) as library:
        for smiles, name, _ in molecules[:12]:
            molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
            AllChem.EmbedMolecule(molecule, randomSeed=0)
            molecule.SetProp("_Name", name)
            library.write(molecule)


def save_models(folder: Path) -> None:
    """Save a captioner and a predictor with the released tower; their other weights are random."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    import modeling_geomclip as geomclip
    from tests.geomclip_tools.training.tiny_decoder import save_decoder

    released = AutoModel.from_pretrained(RELEASED)
    extractor = geomclip.GeomCLIPFeatureExtractor.from_pretrained(RELEASED)
    decoder = str(save_decoder(folder / "captioner" / "base"))
    torch.manual_seed(0)
    captioner = geomclip.GeomCLIPForCaptioning.from_geometry_decoder_pretrained(released, decoder)
    captioner.save_pretrained(folder / "captioner")
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    processor = geomclip.GeomCLIPCaptioningProcessor(extractor, tokenizer, num_neighbours=2)
    given = (["CCO", "CCN"], ["an alcohol", "an amine"], ["A" * 14, "B" * 14])
    processor.references = geomclip.GeomCLIPReferences.from_molecules(captioner, processor, *given)
    processor.save_pretrained(folder / "captioner")
    labels = {"problem_type": "regression", "id2label": {0: "gap"}, "label_units": ["eV"]}
    predictor = geomclip.GeomCLIPForPropertyPrediction.from_geometry_pretrained(released.geometry_model, **labels)
    predictor.save_pretrained(folder / "predictor")
    extractor.save_pretrained(folder / "predictor")


def build_dataset(folder: Path) -> None:
    """Build `pubchem3d`, and put copies where the commands of the released model read their datasets."""
    from datasets import load_dataset

    from dataset_pubchem3d.build import build
    from dataset_pubchem3d.recipe import Recipe

    build(Recipe.from_table(str(folder / "my_pairs.csv")), folder / "pubchem3d", num_proc=1)
    shutil.rmtree(folder / ".pubchem3d.work")
    shutil.copy(next(folder.glob("pubchem3d/data/default/train-*.parquet")), folder / "text_pairs.parquet")
    for name in ("pairs", "definitions", "descriptions_pairs", "chemicals", "descriptions"):
        shutil.copytree(folder / "pubchem3d", folder / "runs" / "words" / name)
    for split in ("validation", "test"):  # the compounds that word queries search
        rows = load_dataset(str(folder / "pubchem3d"), split=split)
        (folder / "research" / "holdouts" / f"chemicals_{split}.txt").write_text("\n".join(rows["inchikey14"]) + "\n")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder; large files become links."""

    def copy(file: str, place: str) -> None:
        is_large = Path(file).stat().st_size > 1e6
        os.symlink(os.path.realpath(file), place) if is_large else shutil.copy(file, place)

    shutil.copytree(source, target, symlinks=True, copy_function=copy)
