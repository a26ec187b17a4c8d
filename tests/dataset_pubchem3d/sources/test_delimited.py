"""CSV and TSV files with real-world errors: what is read, what a fault costs, and that nothing is lost silently."""

import csv
import io
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.sources.delimited import DAMAGED, UNFIT, read_delimited

KNOWN = {"smiles", "text"}
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def read(tmp_path):
    """Header and records of a file with these bytes or this text."""

    def read(content, is_tsv=False, encoding="utf-8", known=KNOWN):
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "a.csv").write_bytes(content)
        head, records = read_delimited(tmp_path / "a.csv", is_tsv, encoding, known)
        return head, list(records)

    return read


@pytest.fixture
def read_or_refuse(read):
    """Like `read`, but None if the file is refused by name; other errors are raised."""

    def read_or_refuse(*args, **options):
        try:
            return read(*args, **options)
        except ValueError as error:
            if "a.csv" not in str(error):
                raise
            return None

    return read_or_refuse


def cells_of(records):
    return [record.cells for record in records if record.fault is None]


def details_of(records):
    return [record.fault.detail for record in records if record.fault is not None]


# ---------------------------------------------------------------------------------------------------------- the grammar


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_quoted_cells_may_contain_delimiters_quotes_and_line_breaks(read, line_end):
    text = 'smiles,text\nO,"Water, ""wet"",\nin two lines"\n\nC,\n"N",""\n'.replace("\n", line_end)
    head, records = read(text)
    assert head == ["smiles", "text"]
    assert cells_of(records) == [["O", f'Water, "wet",{line_end}in two lines'], ["C", ""], ["N", ""]]
    assert [(record.first_line, record.last_line) for record in records] == [(2, 3), (5, 5), (6, 6)]


def test_a_quote_within_a_cell_is_an_ordinary_character(read):
    _, records = read('smiles,text\nC,a 3" pipe, 5\'\' long\nO,3" and 4"\n')
    assert details_of(records) == ["3 cells in line 2, 2 columns"]
    assert cells_of(records) == [["O", '3" and 4"']]


def test_quotes_in_a_tsv_are_ordinary_characters(read):
    _, records = read('smiles\ttext\nO\t"Water" is wet\nC\t"open\n', is_tsv=True)
    assert cells_of(records) == [["O", '"Water" is wet'], ["C", '"open']]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["smiles{}text", '"smiles"{}"text"', "SMILES{}Text"])
def test_the_delimiter_is_detected_from_the_header(read, delimiter, head):
    head, records = read("\ufeff" + head.format(delimiter) + f"\nCCO{delimiter}An alcohol\n")
    assert [name.lower() for name in head] == ["smiles", "text"]
    assert cells_of(records) == [["CCO", "An alcohol"]]


def test_known_names_outrank_the_number_of_cells(read):
    head, records = read("smiles;text;source (a, b, c, d)\nC;Methane, a gas;x\n")
    assert (head, cells_of(records)) == (["smiles", "text", "source (a, b, c, d)"], [["C", "Methane, a gas", "x"]])
    assert read("id;note, or so, or not\n", known=())[0] == ["id;note", "or so", "or not"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;"])
def test_the_first_line_of_excel_is_obeyed_and_skipped(read, first):
    head, records = read(f"{first}\r\na,b;c\r\n1,5;2\r\n")
    assert (head, cells_of(records)) == (["a,b", "c"], [["1,5", "2"]])
    assert records[0].first_line == 3
    assert read("sep=|\na|b\n1|2\n")[0] == ["a", "b"]


def test_empty_cells_and_names_at_the_end_are_dropped(read):
    head, records = read("smiles,text,,\nO,Water,,\nC,Methane\nN,Ammonia,,,,,\nS,,, ,\nCC,a,,b\n")
    assert head == ["smiles", "text"]
    assert cells_of(records) == [["O", "Water"], ["C", "Methane"], ["N", "Ammonia"], ["S", ""]]
    assert details_of(records) == ["4 cells in line 6, 2 columns"]


def test_a_file_with_only_a_header_and_an_empty_file(read):
    assert read("smiles,text\n") == (["smiles", "text"], [])
    assert read("") == read("\n  \n") == ([], [])


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ('O,"Water" is wet', DAMAGED, "a quotation mark in line 3 does not end its cell; double it, or quote the cell"),
        ('"O" x,Water', DAMAGED, "a quotation mark in line 3 does not end its cell; double it, or quote the cell"),
        ('O,"Water', DAMAGED, "the quotation mark that opens in line 3 is still open in line 4; close or double it"),
        ("O", UNFIT, "1 cell in line 3, 2 columns"),
        ("O,Water,wet", UNFIT, "3 cells in line 3, 2 columns"),
        ('O,"Water,\nwet",x', UNFIT, "3 cells in lines 3 to 4, 2 columns"),
        ("O,Wa\x00ter", DAMAGED, "line 3 contains a NUL character"),
        (
            b"O,Wasser aus K\xf6ln",
            DAMAGED,
            "line 3 holds byte 0xf6, which is not valid utf-8; pass the encoding it was written in, such as cp1252",
        ),
        (
            b'O,"Wasser\naus K\xf6ln"',
            DAMAGED,
            "line 4 holds byte 0xf6, which is not valid utf-8; pass the encoding it was written in, such as cp1252",
        ),
    ],
)
def test_a_fault_costs_its_row(read, row, reason, detail):
    row = row if isinstance(row, bytes) else row.encode()
    _, records = read(b"smiles,text\nC,Methane\n" + row + b'\nN,"Ammonia, a gas"\n')
    assert cells_of(records) == [["C", "Methane"], ["N", "Ammonia, a gas"]]
    assert [record.fault for record in records if record.fault] == [(reason, detail)]
    assert len(records) == 3


def test_reading_continues_after_the_line_of_an_unclosed_quote(read):
    rows = "".join(f"C{number},Number {number}\n" for number in range(50))
    _, records = read(f'smiles,text\nO,"Water\n{rows}')
    assert details_of(records) == [
        "the quotation mark that opens in line 2 is still open in line 52; close or double it"
    ]
    assert cells_of(records) == [[f"C{number}", f"Number {number}"] for number in range(50)]


def test_a_single_column_may_have_a_single_cell(read):
    _, records = read("text\nWater\na, b\n")
    assert (cells_of(records), details_of(records)) == ([["Water"]], ["2 cells in line 3, 1 column"])


@pytest.mark.parametrize("row", ['z","', 'z,"x', '"', '"""', "a,b", '"x""'])
def test_no_file_takes_longer_than_its_size(read, row):
    start = time.perf_counter()
    _, records = read("smiles,text\n" + f"{row}\n" * 20_000)
    assert time.perf_counter() - start < 5
    assert len(records) >= 5_000


# ----------------------------------------------------------------------------------------------------- any file at all

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), max_size=8)
PLAIN_CELL = st.text("ab,; \n\t", max_size=6).map(lambda cell: cell + "x")  # no blank lines, no missing line ends
TABLE = st.lists(st.lists(PLAIN_CELL, min_size=3, max_size=3), max_size=6)
HEAD = ["smiles", "text", "note"]


def write_table(rows, quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", quoting=quoting).writerows([HEAD, *rows])
    return file.getvalue()


@quick
@given(content=st.binary(max_size=60), is_tsv=st.booleans())
def test_any_bytes_are_read_or_refused_by_name(read_or_refuse, content, is_tsv):
    head, records = read_or_refuse(b"smiles,text\n" + content, is_tsv) or ([], [])
    for record in records:
        assert record.fault or len(record.cells) == len(head)
        assert record.first_line <= record.last_line
    lines = [record.first_line for record in records]
    assert lines == sorted({*lines})


@quick
@given(content=st.binary(max_size=40))
def test_any_header_is_read_or_refused_by_name(read_or_refuse, content):
    head, records = read_or_refuse(content) or ([], [])
    assert all(record.fault or len(record.cells) == len(head) for record in records)


@quick
@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=5))
def test_what_csv_writes_is_read_unchanged(read, rows):
    rows = [[*row[:2], "x"] for row in rows]
    text = write_table(rows, csv.QUOTE_ALL)
    assert cells_of(read(text)[1]) == list(csv.reader(io.StringIO(text, newline="")))[1:]


@quick
@given(rows=TABLE, data=st.data())
def test_every_truncation_keeps_the_rows_before_it(read, rows, data):
    text = write_table(rows)
    end = data.draw(st.integers(len(write_table([])), len(text)))
    _, records = read(text[:end])
    whole = next(n for n in range(len(rows), -1, -1) if len(write_table(rows[:n])) <= end)
    found = cells_of(records)
    assert found[:whole] == rows[:whole]
    assert len(found) + len(details_of(records)) == len(records)


def test_a_file_cut_at_any_byte_loses_only_the_row_of_the_cut(read):
    rows = [["C", "Köln", "x"], ["O", 'a, "b"\nc', "y"], ["N", "é", "z"]]
    content = write_table(rows).encode()
    start = len(write_table([]))
    for end in range(start, len(content) + 1):
        _, records = read(content[:end])
        whole = next(n for n in range(3, -1, -1) if len(write_table(rows[:n]).encode()) <= end)
        assert cells_of(records)[:whole] == rows[:whole]
        assert len(records) <= whole + 2  # the lines of an unclosed quote


@quick
@given(rows=TABLE, data=st.data())
def test_one_damaged_row_costs_no_other(read, rows, data):
    place = data.draw(st.integers(0, len(rows)))
    damage = ['C,"Water" is,x\n', "C,Wa\x00ter,x\n", "C\n", "C,a,b,c\n", b"C,K\xf6ln,x\n", '"C"x,a,b\n']
    damaged = data.draw(st.sampled_from(damage))
    damaged = damaged if isinstance(damaged, bytes) else damaged.encode()
    before, after = write_table(rows[:place]), write_table(rows[place:]).partition("\n")[2]
    _, records = read(before.encode() + damaged + after.encode())
    assert cells_of(records) == rows
    assert [record.fault is None for record in records].index(False) == place
    assert len(records) == len(rows) + 1


@quick
@given(rows=st.lists(st.lists(st.text("abcx ", min_size=1), min_size=3, max_size=3), max_size=6), data=st.data())
def test_an_unclosed_quote_costs_only_its_line(read, rows, data):
    rows = [[f"{cell}." for cell in row] for row in rows]
    place = data.draw(st.integers(0, len(rows)))
    lines = write_table(rows).splitlines(keepends=True)
    _, records = read("".join([*lines[: place + 1], 'C,"open,x\n', *lines[place + 1 :]]))
    assert cells_of(records) == rows
    (detail,) = details_of(records)
    if place < len(rows):
        opened, last = place + 2, len(rows) + 2
        assert detail.startswith(f"the quotation mark that opens in line {opened} is still open in line {last};")


@quick
@given(text=st.text(st.sampled_from("aäöß°€ß,\n"), max_size=30), written=st.sampled_from(["cp1252", "utf-8", "utf-16"]))
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "ascii"])
def test_swapped_encodings_raise_the_documented_errors(read_or_refuse, text, written, encoding):
    _, records = read_or_refuse(("smiles,text\nC,x\n" + text).encode(written), encoding=encoding) or ([], [])
    assert all(record.fault or "\ufffd" not in "".join(record.cells) for record in records)
    if written == encoding:
        assert not any("holds byte" in detail for detail in details_of(records))
