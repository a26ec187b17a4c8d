"""Show rows of molecules as a table, CSV, SDF, JSON or HTML."""

import csv
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rdkit import Chem

from dataset_pubchem3d.chemistry.perception import arrange_molecule, place_atoms

from ..drawing import draw_molecule

GEOMETRY = ("atomic_numbers", "positions")
NO_COLUMNS = "{}"  # JSON of a row without columns of the user's own
SHOWN = ("score", "percentile", "name", "formula", "mol_weight", "inchikey", "smiles")  # in a table and in HTML
WIDEST = 44  # characters of a cell of a table


def format_rows(rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Return rows in one of `FORMATS`, best first."""
    return FORMATS[kind](rows)


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without geometry, with the first of its names as `name`, and with lists as text."""
    cells = {}
    for name, cell in row.items():
        if name == "names":
            cells["name"] = cell[0] if cell else ""
        if name not in GEOMETRY:
            cells[name] = "; ".join(map(str, cell)) if isinstance(cell, list) else _round(cell)
    if cells.get("columns") == NO_COLUMNS:
        cells["columns"] = ""
    return cells


def _round(cell: Any) -> Any:
    """Return a number with the digits that its float32 has."""
    return float(f"{cell:.7g}") if isinstance(cell, float) else cell


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the most important columns, aligned."""
    cells = [_choose_cells(row) for row in rows]
    names = [*cells[0]] if cells else []
    lines = [names, *([_shorten(row[name]) for name in names] for row in cells)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() + "\n" for line in lines)


def _choose_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query and the columns of `SHOWN`, or all columns of a row that is not a molecule."""
    cells = flatten(row)
    if "smiles" not in cells:
        return cells
    return {name: cells[name] for name in ("query", *SHOWN) if name in cells}


def _shorten(cell: Any) -> str:
    text = f"{cell:.3f}" if isinstance(cell, float) else " ".join(str("" if cell is None else cell).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def format_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return CSV with all columns but the geometry."""
    file = io.StringIO()
    cells = [flatten(row) for row in rows]
    if cells:
        writer = csv.DictWriter(file, cells[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(cells)
    return file.getvalue()


def format_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a JSON array of objects."""
    parsed = [parse_columns({name: _round(cell) for name, cell in row.items()}) for row in rows]
    return json.dumps(parsed, ensure_ascii=False, indent=1) + "\n"


def parse_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the user's own columns as an object instead of JSON."""
    return {**row, "columns": json.loads(row["columns"])} if "columns" in row else dict(row)


def format_sdf(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return SDF records with the geometry that was searched."""
    file = io.StringIO()
    for row in rows:
        write_record(row, file)
    return file.getvalue()


def write_record(row: Mapping[str, Any], file: TextIO) -> None:
    """Write a row as an SDF record with the geometry of the index, and with the other columns as data items.

    If the bonds of the SMILES cannot be found in the geometry, the record is a drawing and says so.
    """
    cells = {name: _join_lines(cell) for name, cell in flatten(row).items()}
    try:
        _check_hydrogens(row)
        mol = arrange_molecule(row["smiles"], row["atomic_numbers"], row["positions"])
        if mol.GetNumConformers() == 0:  # its atoms are in the order of the SMILES
            mol.AddConformer(place_atoms(row["atomic_numbers"], row["positions"]).GetConformer())
        mol.GetConformer().Set3D(True)
    except ValueError as error:
        mol, cells["geometry"] = Chem.MolFromSmiles(row["smiles"]), f"left out: {error}"
    mol.SetProp("_Name", str(cells.pop("name") or row["inchikey"]))
    for name, cell in cells.items():
        if cell not in (None, ""):
            mol.SetProp(name, str(cell))
    writer = Chem.SDWriter(file)
    writer.write(mol)
    writer.close()


def _join_lines(cell: Any) -> Any:
    """Join the lines of a text, since an empty line ends a data item."""
    return " ".join(cell.splitlines()) if isinstance(cell, str) else cell


def _check_hydrogens(row: Mapping[str, Any]) -> None:
    """Check that the geometry has the isotopes of hydrogen, protons and hydrides of the SMILES.

    Raises:
        ValueError: it has not; without them, it would be another molecule.
    """
    atoms = [atom for atom in Chem.MolFromSmiles(row["smiles"]).GetAtoms() if atom.GetAtomicNum() == 1]
    if any(atom.GetIsotope() or atom.GetDegree() != 1 for atom in atoms) and 1 not in row["atomic_numbers"]:
        raise ValueError("it lacks isotopes of hydrogen, protons or hydrides of the SMILES")


def format_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a page with a table of drawings and the most important columns."""
    cells = [_choose_cells(row) for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (["structure", *cells[0]] if cells else []))
    lines = []
    for row in cells:
        shown = "".join(f"<td>{html.escape(_write_cell(cell))}</td>" for cell in row.values())
        lines.append(f"<tr><td>{draw_molecule(row.get('smiles', ''))}</td>{shown}</tr>")
    style = "body{font-family:sans-serif}td,th{padding:4px 10px;text-align:left;overflow-wrap:anywhere}"
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>geomclip search</title><style>{style}</style>\n'
        f"<table>\n<tr>{head}</tr>\n" + "\n".join(lines) + "\n</table></html>\n"
    )


def _write_cell(cell: Any) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str("" if cell is None else cell)


FORMATS = {
    "table": format_table,
    "csv": format_csv,
    "sdf": format_sdf,
    "json": format_json,
    "html": format_html,
}
