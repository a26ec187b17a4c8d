"""What a build must make of the miniature: counts, quarantine and rows, from what its maker laid down."""

import hashlib
from collections import Counter

from rdkit import Chem

from .geometries import FOUND
from .molecules import Molecule
from .world import CLEANED, DEDUPLICATED, IDENTIFIED, JOINED, KEPT, TEXTS, Text, World

ORDER = (TEXTS, IDENTIFIED, JOINED, CLEANED, DEDUPLICATED, KEPT)  # of the stages that texts go through
METHODS = {
    "molecule3d": "B3LYP/6-31G*",
    "pcqm4mv2": "B3LYP/6-31G*",
    "qm9": "B3LYP/6-31G(2df,p)",
    "pubchemqc": "PM6 (PubChemQC B3LYP/6-31G*//PM6)",
    "geom": "GFN2-xTB (CREST)",
}


def expect_counts(world: World) -> dict[str, dict[str, int]]:
    """Return the counts of each stage, without zeros."""
    reached = [ORDER.index(text.stage) for text in world.texts]
    left = {stage: sum(at > place for at in reached) for place, stage in enumerate(ORDER)}  # behind each stage
    refused = {stage: Counter(f"refused: {t.reason}" for t in world.texts if t.stage == stage) for stage in ORDER}
    sums = {
        TEXTS: {"records read": len(world.texts), "texts": left[TEXTS]},
        IDENTIFIED: {"texts by CID": left[TEXTS], "texts": left[IDENTIFIED]},
        JOINED: {"texts": left[IDENTIFIED], "rows": left[JOINED]},
        CLEANED: {"rows read": left[JOINED], "rows": left[CLEANED]},
        DEDUPLICATED: {"rows read": left[CLEANED], "rows": left[DEDUPLICATED]},
    }
    counts = {stage: {**sums[stage], **refused[stage]} for stage in sums}
    counts["structures pubchem extras"] = count_compounds(world)
    for source, shelf in world.shelves.items():
        fates = Counter(name_count(entry.fate) for entry in shelf.entries)
        counts[f"geometries {source}"] = {"records read": len(shelf.entries), **fates}
    kept = Counter(
        "molecules" if not is_faulty(entry) else name_count(entry.fate) for entry in world.shelves["qm9"].entries
    )
    counts["molecules qm9"] = {"records read": len(world.shelves["qm9"].entries), **kept}
    return counts | {"grouped": {}}


def count_compounds(world: World) -> dict[str, int]:
    """Return the counts of the stage that reads PubChem's structures."""
    cids = {text.molecule.cid for text in world.texts if text.stage != TEXTS}
    known = [cid for cid in cids if world.misprints.get(cid, {}).get("InChI-Key", "") is not None]
    reasons = Counter(name_count(world.refused_compounds[cid]) for cid in known if cid in world.refused_compounds)
    return {"records read": len(known), "compounds": len(known) - reasons.total(), **reasons}


def name_count(fate: str) -> str:
    return fate if fate in (FOUND, "wanted by no text") else f"refused: {fate}"


def is_faulty(entry) -> bool:
    return name_count(entry.fate).startswith("refused")


def expect_quarantine(world: World) -> dict[str, Counter]:
    """Return the source, id and reason of the refused records, by file."""
    files = {}
    for text in world.texts:
        if text.stage != KEPT:
            name = text.stage.replace(" ", "_")
            files.setdefault(name, Counter())["pubchem_text", text.refused_id, text.reason] += 1
    described = {text.molecule.cid for text in world.texts if text.stage != TEXTS}
    files["structures_pubchem_extras"] = Counter(
        ("pubchem_extras", str(cid), reason) for cid, reason in world.refused_compounds.items() if cid in described
    )
    for source, shelf in world.shelves.items():
        refused = Counter((source, entry.refused_id, entry.fate) for entry in shelf.entries if is_faulty(entry))
        files[f"geometries_{source}"] = refused
        if source == "qm9":
            files["molecules_qm9"] = refused
    return files


def expect_rows(world: World) -> dict[tuple, dict]:
    """Return the rows of the config `default` by CID, depositor and its id of the text."""
    return {key_of(row): row for row in (make_row(world, text) for text in world.texts if text.stage == KEPT)}


def key_of(row: dict) -> tuple:
    return row["cid"], row["text_source"], row["text_source_id"]


def make_row(world: World, text: Text) -> dict:
    """The row of a text; positions are given with their digits, before they become float32."""
    molecule, entry, raw = text.molecule, text.entry, text.raw
    parts = [block for block in raw["Data"] if "Indication" not in str(block["TOCHeading"])]
    strings = [part["String"] for block in parts for part in block["Value"]["StringWithMarkup"]]
    return {
        "inchikey": molecule.inchikey,
        "inchi": molecule.inchi,
        "smiles": Chem.CanonSmiles(molecule.smiles),
        "cid": molecule.cid,
        "name": raw.get("Name") or get_title(world, molecule),
        "text": text.cleaned,
        "text_raw": "\n".join(strings),
        "text_kind": text.depositor.kind,
        "text_source": raw["SourceName"],
        "text_source_id": raw["SourceID"],
        "text_url": raw["URL"],
        "text_license_url": raw.get("LicenseURL"),
        "anid": raw.get("ANID"),
        "atomic_numbers": entry.numbers,
        "positions": entry.positions,
        "n_conformers": entry.n_conformers,
        "conformer_energy": entry.energy,
        "geometry_source": entry.source,
        "geometry_method": METHODS[entry.source],
        "geometry_id": entry.geometry_id,
        "match_level": text.level,
        "split": find_split(molecule.inchikey[:14]),
        "split_group": molecule.inchikey[:14],
    }


def get_title(world: World, molecule: Molecule) -> str:
    title = world.misprints.get(molecule.cid, {}).get("Title", molecule.title)
    return title.decode(errors="replace") if isinstance(title, bytes) else title


def find_split(block: str, seed: int = 0) -> str:
    """The split of a group that is not large: its hash lies in the 8, 1 and 1 tenths of all hashes."""
    share = int.from_bytes(hashlib.sha256(f"{seed}:{block}".encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"
