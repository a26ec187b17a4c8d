import gzip
import io
import itertools

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.sdf import read_sdf, read_sdf_geometry, read_sdf_tags


def make_conformer(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def written(*mols: Chem.Mol, **properties: str) -> str:
    """SDF text written by RDKit."""
    stream = io.StringIO()
    with Chem.SDWriter(stream) as writer:
        for mol in mols:
            for name, value in properties.items():
                mol.SetProp(name, value)
            writer.write(mol)
    return stream.getvalue()


METHANOL, PYRIDINE = make_conformer("CO"), make_conformer("c1ccncc1")
TWO_RECORDS = written(METHANOL, PYRIDINE, NAME="two\nlines", MASS="32.04")


# -------------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("name", ["a.sdf", "a.sdf.gz"])
def test_records_are_the_text_between_separators(tmp_path, name):
    content = TWO_RECORDS.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert list(read_sdf(tmp_path / name)) == TWO_RECORDS.split("$$$$\n")[:-1]


def test_an_open_stream_is_read():
    assert list(read_sdf(io.StringIO(TWO_RECORDS))) == TWO_RECORDS.split("$$$$\n")[:-1]


def test_records_are_read_one_at_a_time(tmp_path):
    def endless():
        yield from itertools.cycle(TWO_RECORDS.splitlines(keepends=True))

    assert len(list(itertools.islice(read_sdf(endless()), 5))) == 5
    (tmp_path / "late.sdf").write_text(TWO_RECORDS + "junk")
    records = read_sdf(tmp_path / "late.sdf")
    assert "RDKit" in next(records)
    assert "RDKit" in next(records)
    with pytest.raises(ValueError, match=r"late\.sdf"):
        next(records)


def test_a_last_record_that_ends_with_its_structure_needs_no_separator(tmp_path):
    (tmp_path / "a.sdf").write_text(Chem.MolToMolBlock(METHANOL) + "\n")
    (record,) = read_sdf(tmp_path / "a.sdf")
    assert read_sdf_geometry("a", record)[0].tolist() == [6, 8, 1, 1, 1, 1]


@pytest.mark.parametrize("rest", ["\n \n", "\r\n"])
def test_blank_lines_at_the_end_are_not_a_record(tmp_path, rest):
    (tmp_path / "a.sdf").write_bytes((TWO_RECORDS + rest).encode())
    assert len(list(read_sdf(tmp_path / "a.sdf"))) == 2


@pytest.mark.parametrize("lost", [7, 40, 300])  # the end; the data items; the structure
def test_a_truncated_plain_file_is_named(tmp_path, lost):
    (tmp_path / "cut.sdf").write_text(TWO_RECORDS[:-lost])
    with pytest.raises(ValueError, match=r"cut\.sdf.*truncated.*fetch it again"):
        list(read_sdf(tmp_path / "cut.sdf"))


def test_a_truncated_gzip_file_is_named(tmp_path):
    (tmp_path / "cut.sdf.gz").write_bytes(gzip.compress(TWO_RECORDS.encode())[:-20])
    with pytest.raises(ValueError, match=r"cut\.sdf\.gz.*truncated or broken.*fetch it again"):
        list(read_sdf(tmp_path / "cut.sdf.gz"))


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "a.sdf.gz").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"a\.sdf\.gz.*broken"):
        list(read_sdf(tmp_path / "a.sdf.gz"))


def test_a_byte_that_is_not_utf8_costs_its_record(tmp_path):
    first, second, _ = TWO_RECORDS.split("$$$$\n")
    broken = ("benz\xe8ne" + first).encode("latin-1")
    (tmp_path / "a.sdf").write_bytes(b"$$$$\n".join([broken, second.encode(), broken, b""]))
    bad, good, last = read_sdf(tmp_path / "a.sdf")
    assert good == second
    assert bad == last
    with pytest.raises(RecordError, match=r"r1: a byte is not UTF-8 \(byte 0xe8 in line 1 of the record\)"):
        read_sdf_geometry("r1", bad)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(read_sdf(tmp_path / "none.sdf"))


# ----------------------------------------------------------------------------------------------------------- data items


def test_data_items_agree_with_rdkit():
    supplier = Chem.SDMolSupplier()
    supplier.SetData(TWO_RECORDS)
    for record, mol in zip(TWO_RECORDS.split("$$$$\n")[:-1], supplier, strict=True):
        assert read_sdf_tags(record) == {name: mol.GetProp(name) for name in mol.GetPropNames()}
        assert read_sdf_tags(record) == {"NAME": "two\nlines", "MASS": "32.04"}


@pytest.mark.parametrize("header", ["> <TAG>", ">  <TAG>  (12) ", "> 25 <TAG>", "> DT1 <TAG> "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_headers_of_all_kinds_and_line_ends_are_read(header, line_end):
    record = f"title\n\n\nM  END\n{header}\nfirst\nsecond > <x>\n\n> <EMPTY>\n\n> <LAST>\n3".replace("\n", line_end)
    assert read_sdf_tags(record) == {"TAG": "first\nsecond > <x>", "EMPTY": "", "LAST": "3"}


def test_a_title_is_not_a_data_item():
    assert read_sdf_tags("> <TITLE>\nx\n\nM  END\n") == {}
    assert read_sdf_tags("> <TITLE>\nx\n") == {}


# ----------------------------------------------------------------------------------------------------------- geometries


@pytest.mark.parametrize("write", [Chem.MolToMolBlock, Chem.MolToV3KMolBlock])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_atoms_and_positions_are_read_as_written(write, line_end):
    numbers, positions = read_sdf_geometry("a", write(PYRIDINE).replace("\n", line_end))
    assert numbers.tolist() == [atom.GetAtomicNum() for atom in PYRIDINE.GetAtoms()]
    assert (numbers == 1).sum() == 5
    assert np.abs(positions - PYRIDINE.GetConformer().GetPositions()).max() < 1e-4


def test_a_structure_that_rdkit_refuses_keeps_its_geometry():
    block = Chem.MolToMolBlock(METHANOL).replace("  1  2  1  0", "  1  2  3  0")
    assert Chem.MolFromMolBlock(block) is None
    numbers, positions = read_sdf_geometry("a", block)
    assert numbers.tolist() == [6, 8, 1, 1, 1, 1]
    assert np.abs(positions - METHANOL.GetConformer().GetPositions()).max() < 1e-4


def lay_flat(mol: Chem.Mol) -> Chem.Mol:
    """The molecule rotated so that its first three atoms are in the plane z = 0."""
    flat = Chem.Mol(mol)
    positions = flat.GetConformer().GetPositions()
    x = (positions[1] - positions[0]) / np.linalg.norm(positions[1] - positions[0])
    y = positions[2] - positions[0] - x * np.dot(positions[2] - positions[0], x)
    axes = np.stack([x, y / np.linalg.norm(y), np.zeros(3)])
    flat.GetConformer().SetPositions((positions - positions[0]) @ axes.T)
    return flat


def test_a_planar_molecule_marked_3d_passes_and_a_drawing_does_not():
    block = Chem.MolToMolBlock(lay_flat(PYRIDINE))
    assert read_sdf_geometry("a", block)[1][:, 2].tolist() == [0.0] * 11
    drawing = Chem.MolFromSmiles("c1ccncc1C")
    rdDepictor.Compute2DCoords(drawing)
    drawn = Chem.MolToMolBlock(drawing).replace("2D", "3D")
    for flat in (block.replace("3D", "2D"), drawn):
        with pytest.raises(RecordError, match="the coordinates are 2D"):
            read_sdf_geometry("a", flat)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("", "RDKit cannot read it as SDF"),
        (Chem.MolToMolBlock(METHANOL).replace("  6  5", "  9  5"), "RDKit cannot read it as SDF …"),
        (Chem.MolToMolBlock(METHANOL).replace(" O  ", " ** "), "it has an atom without an element …"),
        ("\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n", "it has no atoms"),
        (Chem.MolToMolBlock(Chem.MolFromSmiles("CO")), "the coordinates are 2D"),
    ],
)
def test_an_unusable_block_is_refused_with_its_id(block, reason):
    with pytest.raises(RecordError) as refused:
        read_sdf_geometry("mol 5", block)
    assert (refused.value.record_id, refused.value.reason) == ("mol 5", reason)
