"""A library to try the page with: named compounds of the PyPI package `chemicals`, smallest PubChem CIDs first."""

import csv
from itertools import islice
from pathlib import Path

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.chemicals import Chemicals

from ..library import MoleculeIndex
from ..library.store import exists

MOLECULES = 2500
MOST_HEAVY_ATOMS = 30  # larger ones take most of the time
LIBRARY = "molecules.csv"


def open_demo(folder: Path, model: str) -> MoleculeIndex:
    """Open the index of the demonstration; make it first, or finish it, if need be.

    Args:
        folder: folder for the library and its index.
        model: checkpoint folder or Hub id.
    Raises:
        ModuleNotFoundError: `chemicals` is not installed.
        ValueError: the index belongs to another model.
    """
    library, index = folder / LIBRARY, folder / "index"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_library(library)
    if exists(str(index)) and len(found := MoleculeIndex.open(index, model)) >= MOLECULES - MOLECULES // 10:
        return found
    print(f"making an index of {MOLECULES} molecules in {index}; this takes some two minutes, once")
    made = MoleculeIndex.create(index, model)
    made.add(str(library))
    return made


def write_library(path: Path) -> None:
    """Write the names, texts and SMILES of the compounds to a CSV file, which appears when it is complete."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "smiles", "cid", "text"))
        writer.writerows(islice(_list_compounds(), MOLECULES))
    partial.rename(path)


def _list_compounds():
    source, known = Chemicals(), set()
    for raw in source.read_records(Path()):
        try:
            (text,) = source.parse_texts(raw)
        except RecordError:  # no name that reads as words
            continue
        compound = text.compound
        if compound.n_heavy <= MOST_HEAVY_ATOMS and compound.inchikey not in known and "." not in compound.smiles:
            known.add(compound.inchikey)
            yield compound.title, compound.smiles, compound.cid, text.text
