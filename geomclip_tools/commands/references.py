"""Build the references of a captioner from a dataset or a table of the user."""

import logging
from typing import Any

from tqdm import tqdm

from dataset_pubchem3d.chemistry.identity import compute_inchikey
from dataset_pubchem3d.pairs import get_molecule_input, load_molecules
from modeling_geomclip import GeomCLIPReferences
from modeling_geomclip.embedding_geomclip import embed_records
from modeling_geomclip.references_geomclip import hash_geometry_side

logger = logging.getLogger("geomclip")

ENOUGH = 100  # references to tell from their distances whether a molecule is unlike them


def build_references(model: Any, processor: Any, source: str, encoding: str = "utf-8") -> GeomCLIPReferences:
    """Embed the molecules of a table, folder or Hub dataset, with their texts as captions.

    Rows whose molecule cannot be read, or which lack a text or an InChIKey, are left out and counted. A warning tells
    if the references are few, because the similarity below which a molecule is unlike them is then a guess.

    Args:
        model, processor: a captioner or a GeomCLIP, and its processor.
        source: rows with a molecule, `text`, and `inchikey` or `smiles`; of a folder or Hub dataset, its split train.
        encoding: encoding of a table in a text file.
    Returns:
        The references; set them as `processor.references`.
    Raises:
        ValueError: no row can be used, or the texts are no strings.
    """
    rows = load_molecules(source, "train", None, ("text",), encoding)
    if getattr(rows.features["text"], "dtype", None) not in ("string", "large_string"):
        raise ValueError(
            f"the column text of {source} is {rows.features['text']}; a reference has one text as a string"
        )
    molecules = tqdm(map(get_molecule_input, rows), total=len(rows), desc="references", leave=False)
    records, failures = processor.feature_extractor.read(molecules, errors="report")
    first = f" (the first in row {failures[0]['index']}: {failures[0]['reason']})" if failures else ""
    usable, counts = [], {f"cannot be read{first}": len(failures), "have no text": 0, "have no InChIKey": 0}
    for record in records:
        row = rows[record["index"]]
        smiles = row.get("smiles")
        key = row.get("inchikey") or row.get("inchikey14") or (compute_inchikey(smiles) if smiles else "")
        fault = "have no text" if not (row["text"] or "").strip() else "" if key else "have no InChIKey"
        if fault:
            counts[fault] += 1
        else:
            usable.append((record, row["text"], key))
    reasons = ", ".join(f"{number} {fault}" for fault, number in counts.items() if number)
    if not usable:
        raise ValueError(
            f"no row of {source} can be a reference: {reasons or 'there are no rows'}; a reference has a molecule, "
            "text, and inchikey or smiles"
        )
    if reasons:
        logger.warning(
            "%d of %d rows of %s are not used as references: %s", sum(counts.values()), len(rows), source, reasons
        )
    if len(usable) < ENOUGH:
        logger.warning(
            "%d references are too few to tell whether a molecule is unlike them; %d are enough", len(usable), ENOUGH
        )
    records, captions, keys = zip(*usable)
    embeddings = embed_records(model, processor, records)
    return GeomCLIPReferences(embeddings, captions, keys, hash_geometry_side(model))
