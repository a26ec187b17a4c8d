import bz2
import io
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.qm9 import PROPERTIES, QM9
from dataset_pubchem3d.sources.qm9_archive import ARCHIVE, UNCHARACTERISED, Member, QM9Archive, read_uncharacterised

WATER = """3
gdb 990001	700.1	400.2	250.3	1.9	6.3	-0.29	0.07	0.36	19.0	0.021	-76.40	-76.39	-76.39	-76.41	6.0	
O	-0.0343	 0.9775	 0.0076	-0.59
H	 0.0647	 0.0205	 1.5*^-6	 0.29
H	 0.8717	 1.3007	 0.0006	 0.3
1600.1	3700.2	3800.3
O	O	
InChI=1S/H2O/h1H2	InChI=1S/H2O/h1H2
"""
RULE = "=" * 60
LIST = f"""
List of molecules for which the coordinates and the geometry lead to
different strings. Given are the indices of these molecules in the database, the original GDB17
SMILES, and 2
more columns.

{RULE}
#   Index          GDB17 SMILES        SMILES for B3LYP XYZ            D_IJ
{RULE}
      58              NC(=N)C#N               NC(=N)C#N            6.036217
  990002       [NH3+]CC([O-])=O               NCC(=O)O            10.09360
{RULE}
"""


def water(index=990001, text=WATER):
    """A member with invented numbers, in the format of the archive."""
    return Member(f"dsgdb9nsd_{index}.xyz", text.replace("990001", str(index)), True)


def write_archive(folder, *members, prefix=""):
    """The archive and the list of uncharacterised molecules."""
    with tarfile.open(folder / ARCHIVE, "w:bz2") as tar:
        for member in members:
            entry = tarfile.TarInfo(prefix + member.name)
            entry.size = len(member.text.encode())
            tar.addfile(entry, io.BytesIO(member.text.encode()))
    (folder / UNCHARACTERISED).write_text(LIST)
    return QM9Archive(path=str(folder))


def test_a_member_is_read():
    geometry = QM9Archive().parse_geometry(water())
    assert geometry.geometry_id == "990001"
    assert geometry.atomic_numbers.tolist() == [8, 1, 1]
    expected = [[-0.0343, 0.9775, 0.0076], [0.0647, 0.0205, 1.5e-6], [0.8717, 1.3007, 0.0006]]
    assert geometry.positions.tolist() == [np.float32(expected).tolist()]
    assert geometry.energies == pytest.approx([-76.40 * 27.211386])
    assert QM9Archive().identify(water()).inchikey == "XLYOFNOQVPJJNP-UHFFFAOYSA-N"
    compound = QM9Archive().parse_compound(water())
    assert (compound.smiles, compound.inchi, compound.n_heavy) == ("O", "InChI=1S/H2O/h1H2", 1)


def test_properties_have_the_names_of_the_package():
    properties = QM9Archive().parse_properties(water())
    assert list(properties) == [column.name for column in PROPERTIES]
    scalars = [700.1, 400.2, 250.3, 1.9, 6.3, -0.29, 0.07, 0.36, 19, 0.021, -76.40, -76.39, -76.39, -76.41, 6]
    # Minus the energies of the free atoms: 2 of -0.500273, -0.498857, -0.497912, -0.510927 and 1 of oxygen's.
    atomisation = [-76.40 + 76.065125, -76.39 + 76.060877, -76.39 + 76.058043, -76.41 + 76.101386]
    *numbers, tensor, charges, frequencies = properties.values()
    assert numbers == pytest.approx([*scalars, *atomisation], rel=1e-12, abs=1e-9)
    assert [tensor, charges, frequencies] == [None, [-0.59, 0.29, 0.3], [1600.1, 3700.2, 3800.3]]


def test_a_molecule_of_the_package_in_the_format_of_the_archive_gives_the_same():
    row = next(QM9().read_records(Path()))
    properties, geometry = QM9().parse_properties(row), QM9().parse_geometry(row)
    scalars = list(properties.values())[:15]
    atoms = zip("CHHHH", geometry.positions[0].tolist(), properties["mulliken_charges"], strict=True)
    lines = [
        "5",
        "gdb 1\t" + "\t".join(map(repr, scalars)),
        *("\t".join([symbol, *map(repr, position), repr(charge)]) for symbol, position, charge in atoms),
        "\t".join(map(repr, properties["frequencies"])),
        "C\tC",
        f"{row['InChi']}\t{row['InChi']}",
    ]
    member = Member("dsgdb9nsd_000001.xyz", "\n".join(lines).replace("e-", "*^-"), True)
    assert QM9Archive().parse_properties(member) == properties | {"polarizability_tensor": None}
    assert QM9Archive().parse_compound(member) == QM9().parse_compound(row)
    assert QM9Archive().parse_geometry(member).positions.tolist() == geometry.positions.tolist()
    assert QM9Archive().parse_geometry(member).energies == pytest.approx(geometry.energies)


def test_the_gdb_molecule_identifies_even_if_the_relaxed_one_differs():
    text = WATER.replace("O\tO\t", "O\tOO\t").replace("h1H2\tInChI=1S/H2O/h1H2", "h1H2\tInChI=1S/H2O2/c1-2/h1-2H")
    assert QM9Archive().identify(water(text=text)).inchikey == "XLYOFNOQVPJJNP-UHFFFAOYSA-N"
    assert QM9Archive().parse_compound(water(text=text)).smiles == "O"


@pytest.mark.parametrize("prefix", ["", "dsgdb9nsd.xyz/"])
def test_the_archive_is_streamed_and_uncharacterised_molecules_are_refused(tmp_path, prefix):
    source = write_archive(tmp_path, water(990001), water(990002), water(990003), prefix=prefix)
    raw = list(source.read_records(tmp_path))
    assert [member.name for member in raw] == [f"dsgdb9nsd_99000{number}.xyz" for number in (1, 2, 3)]
    assert [source.parse_geometry(member).geometry_id for member in (raw[0], raw[2])] == ["990001", "990003"]
    for method in (source.identify, source.parse_geometry, source.parse_properties, source.parse_compound):
        with pytest.raises(RecordError) as caught:
            method(raw[1])
        assert caught.value.reason == "uncharacterised: the geometry does not belong to the SMILES"
        assert caught.value.record_id == "dsgdb9nsd_990002.xyz"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("3\ngdb", "4\ngdb", "not a molecule in the format of QM9"),
        ("gdb 990001", "gdb 990009", "not a molecule in the format of QM9"),
        ("gdb 990001", "tag 990001", "not a molecule in the format of QM9"),
        ("\t6.0\t", "\t", "not a molecule in the format of QM9"),
        ("\t-0.59", "", "not a molecule in the format of QM9"),
        ("1600.1\t3700.2\t3800.3\n", "", "not a molecule in the format of QM9"),
        (WATER, "", "not a molecule in the format of QM9"),
        ("0.9775", "0.97.75", "a field is not a number"),
        ("0.9775", "inf", "a number is not finite"),
        ("O\t-", "Qq\t-", "an element symbol is unknown"),
    ],
)
def test_a_bad_member_is_refused(old, new, reason):
    assert old in WATER
    with pytest.raises(RecordError, match=r"990001") as caught:
        QM9Archive().parse_geometry(Member("dsgdb9nsd_990001.xyz", WATER.replace(old, new, 1), True))
    assert caught.value.reason == reason


def test_a_truncated_archive_is_an_error_wherever_it_is_cut(tmp_path):
    noise = random.Random(0).randbytes(2_000_000).hex()  # several blocks of bzip2
    members = [water(990001 + number, WATER + noise[number * 4000 :][:4000]) for number in range(999)]
    source = write_archive(tmp_path, *members)
    whole = (tmp_path / ARCHIVE).read_bytes()
    assert sum(1 for _ in source.read_records(tmp_path)) == 999
    for size in (10, len(whole) // 4, len(whole) // 2, len(whole) - 1):
        (tmp_path / ARCHIVE).write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"dsgdb9nsd.xyz.tar.bz2: broken or truncated.*stage fetch"):
            list(source.read_records(tmp_path))


def test_damaged_and_foreign_archives_are_an_error(tmp_path):
    source = write_archive(tmp_path, water())
    whole = bytearray((tmp_path / ARCHIVE).read_bytes())
    whole[len(whole) // 2] ^= 1
    for content in (bytes(whole), b"<html>not found</html>", bz2.compress(b"no tar" * 999)):
        (tmp_path / ARCHIVE).write_bytes(content)
        with pytest.raises(ValueError, match=r"dsgdb9nsd.xyz.tar.bz2: broken or truncated"):
            list(source.read_records(tmp_path))


def test_the_list_of_uncharacterised_molecules_is_read_between_rules(tmp_path):
    file = tmp_path / UNCHARACTERISED
    file.write_text(LIST)
    assert read_uncharacterised(file) == [58, 990002]
    file.write_text("\n\n\n" + LIST)  # copies of the list have different blank lines
    assert read_uncharacterised(file) == [58, 990002]
    for broken, message in ((LIST[:-70], "2 rules"), (LIST.replace("  58", "some"), "a line has no index")):
        file.write_text(broken)
        with pytest.raises(ValueError, match=rf"uncharacterized.txt: .*{message}"):
            read_uncharacterised(file)


def test_the_fetched_files_are_read(tmp_path):
    class Client:
        def download(self, url, path, md5):
            requests.append((url, md5))
            path.write_bytes(b"")

    requests = []
    QM9Archive().fetch(Client(), tmp_path)
    assert requests[0] == ("https://figshare.com/ndownloader/files/3195389", "ad1ebd51ee7f5b3a6e32e974e5d54012")
    assert QM9Archive().list_files(tmp_path) == [tmp_path / ARCHIVE, tmp_path / UNCHARACTERISED]
    QM9Archive(path="somewhere").fetch(Client(), tmp_path)
    assert len(requests) == 2
    (tmp_path / UNCHARACTERISED).unlink()
    with pytest.raises(FileNotFoundError, match=r"uncharacterized.txt is missing; run the stage fetch"):
        QM9Archive().list_files(tmp_path)
