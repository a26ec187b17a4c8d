"""Sources to rows to a published folder: join geometries and texts by InChIKey, split, write."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors
from tqdm import tqdm

from .descriptions import Facts, compose_text, select_facts
from .folder import refuse_foreign_folder, staged_folder, write_folder
from .sources import chemicals, qm9
from .splits import assign_splits


def build_qm9(out: Path, seed: int) -> dict:
    """Build the dataset of QM9 geometries with texts of names and measured properties from `chemicals`.

    Nothing appears at `out` before the folder is complete; a folder built earlier is then replaced.

    Args:
        out: folder to make.
        seed: of the splits.
    Returns:
        The report that is also written to the folder: counts of what was read, kept and left out.
    Raises:
        FileExistsError: `out` exists and was not made by this function.
        ModuleNotFoundError: `qm9pack` or `chemicals` is not installed.
    """
    refuse_foreign_folder(out)
    counts: Counter = Counter()
    compounds = read_compounds(counts)
    geometries = read_lowest_geometries(compounds, counts)
    rows = list(join_rows(compounds, geometries, counts))
    splits = assign_splits((row["split_group"] for row in rows), seed)
    for row in rows:
        row["split"] = splits[row["split_group"]]
    with staged_folder(out) as folder:
        return write_folder(folder, rows, {"source": "qm9", "seed": seed, "counts": dict(counts)})


def read_compounds(counts: Counter) -> dict[str, chemicals.Compound]:
    """Compounds by InChIKey; of several with one key the first is kept."""
    compounds = {}
    for compound in tqdm(chemicals.read_compounds(), desc="reading chemicals", unit=" compounds"):
        counts["compounds read"] += 1
        if compound.inchikey in compounds:
            counts["compounds of equal key not kept"] += 1
        else:
            compounds[compound.inchikey] = compound
    return compounds


def read_lowest_geometries(wanted: Collection[str], counts: Counter) -> dict[str, qm9.QM9Geometry]:
    """The geometry of lowest energy, of equal ones the first, for each wanted InChIKey that has one."""
    lowest = {}
    for geometry in tqdm(qm9.read_geometries(), desc="reading QM9", unit=" geometries"):
        counts["geometries read"] += 1
        if geometry.inchikey not in wanted:
            counts["geometries without a compound"] += 1
            continue
        rival = lowest.setdefault(geometry.inchikey, geometry)
        if rival is not geometry:
            counts["geometries of equal key not kept"] += 1
            lowest[geometry.inchikey] = min(rival, geometry, key=lambda candidate: candidate.energy)
    counts["compounds without a geometry"] = len(wanted) - len(lowest)
    return lowest


def join_rows(
    compounds: dict[str, chemicals.Compound], geometries: dict[str, qm9.QM9Geometry], counts: Counter
) -> Iterator[dict]:
    """One row of `schema.py`, without its split, per InChIKey in both; ascending by InChIKey."""
    measurements = chemicals.read_measurements()
    for inchikey in tqdm(sorted(geometries), desc="composing", unit=" rows"):
        compound = compounds[inchikey]
        mol = Chem.MolFromSmiles(compound.smiles)
        if mol is None:
            raise ValueError(
                f"CID {compound.cid}: RDKit cannot read the SMILES {compound.smiles!r}; reinstall chemicals"
            )
        measured = measurements.get(chemicals.cas_digits(compound.cas), [])
        facts = select_facts(
            compound.title,
            compound.iupac_name,
            compound.synonyms,
            measured,
            has_stereo="/t" in compound.inchi or "/b" in compound.inchi,
            formula=rdMolDescriptors.CalcMolFormula(mol),
            masses=(Descriptors.MolWt(mol), Descriptors.ExactMolWt(mol)),
        )
        counts["rows without a readable name, not kept"] += facts is None
        if facts is None:
            continue
        counts["titles that do not read as words"] += facts.name != compound.title
        counts["properties that print like the mass, not told"] += len(measured) - len(facts.measurements)
        count_facts(facts, counts)
        yield {
            **describe_compound(compound, mol),
            **describe_text(compound, facts),
            **geometries[inchikey].to_columns(),
            "match_level": "inchikey",
        }


def describe_compound(compound: chemicals.Compound, mol: Chem.Mol) -> dict:
    """The identity columns of `schema.py`."""
    block = compound.inchikey.split("-")[0]
    return {
        "inchikey": compound.inchikey,
        "inchikey14": block,
        "split_group": block,
        "inchi": compound.inchi,
        "smiles": Chem.MolToSmiles(mol),
        "cid": compound.cid,
        "n_heavy": mol.GetNumHeavyAtoms(),
        "formal_charge": Chem.GetFormalCharge(mol),
    }


def describe_text(compound: chemicals.Compound, facts: Facts) -> dict:
    """The text columns of `schema.py`."""
    return {
        "name": facts.name,
        "text": compose_text(facts, compound.inchikey),
        "text_raw": facts.to_json(),
        "text_kind": "names_and_properties" if facts.measurements else "names",
        "text_source": "chemicals",
        "text_source_id": compound.cas,
        "text_url": f"https://pubchem.ncbi.nlm.nih.gov/compound/{compound.cid}",
        "text_license_url": chemicals.LICENSE_URL,
        "anid": None,
    }


def count_facts(facts: Facts, counts: Counter) -> None:
    """Add up what kinds of facts the texts tell."""
    counts["texts with IUPAC name"] += facts.iupac_name is not None
    counts["texts with synonyms"] += bool(facts.synonyms)
    counts.update(f"texts with {measurement.kind}" for measurement in facts.measurements)
