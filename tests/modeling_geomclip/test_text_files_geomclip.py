"""Write bytes and read them back; Python's own codecs are the reference."""

import codecs
import gzip

import pytest

from modeling_geomclip.text_files_geomclip import TextFileError, describe_undecoded, open_text

TEXT = "name;Größe\nbenzène;1,5\n"


def read(path, **settings) -> str:
    with open_text(path, **settings) as lines:
        return "".join(lines)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "A.TXT.GZ"])
def test_utf8_is_read_with_and_without_a_byte_order_mark_gzipped_or_not(tmp_path, name, mark):
    opened = gzip.open if name.lower().endswith(".gz") else open
    with opened(tmp_path / name, "wb") as file:
        file.write(mark + TEXT.encode())
    assert read(tmp_path / name) == TEXT
    assert read(str(tmp_path / name)) == TEXT


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-32", "utf-8-sig", "UTF8", "mac_roman"])
def test_a_file_is_read_in_the_encoding_that_is_passed(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert read(tmp_path / "a.csv", encoding=encoding) == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_another_byte_order_mark_says_which_encoding_to_pass(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes(f"\ufeff{TEXT}".encode(encoding))
    told = encoding[:6]
    with pytest.raises(TextFileError, match=f"a.csv begins as {told.upper()} text; pass the encoding {told}"):
        read(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", encoding=told) == TEXT


def test_truncated_utf16_is_reported(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT.encode("utf-16-le")[:-1])
    with pytest.raises(TextFileError, match=r"a\.csv is not in utf-16-le .*truncated data"):
        read(tmp_path / "a.csv", encoding="utf-16-le")


def test_a_byte_that_is_not_utf8_is_reported_with_its_line_and_affects_no_other(tmp_path):
    (tmp_path / "a.csv").write_bytes("first\nbenzène, toluène\nlast ü\n".encode("cp1252"))
    lines = read(tmp_path / "a.csv").splitlines()
    assert lines[0] == "first"
    told = "line 2 holds byte 0xe8, which is not valid utf-8; pass the encoding it was written in, such as cp1252"
    assert describe_undecoded("\n".join(lines)) == told
    assert describe_undecoded(lines[2], first_line=3).startswith("line 3 holds byte 0xfc")
    assert describe_undecoded(lines[0]) == ""


def test_undecodable_bytes_are_reported_with_the_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a\n\x81\n")  # one of five bytes that cp1252 does not define
    text = read(tmp_path / "a.csv", encoding="cp1252")
    assert describe_undecoded(text, encoding="cp1252").startswith("line 2 holds byte 0x81, which is not valid cp1252")


def test_a_lone_surrogate_in_a_text_is_reported():
    assert describe_undecoded("C\ud800").startswith("line 1 holds U+D800")


@pytest.mark.parametrize(("newline", "expected"), [(None, "a\nb\nc\n"), ("", "a\r\nb\rc\n")])
def test_line_ends_become_newlines_unless_they_are_to_be_kept(tmp_path, newline, expected):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\n")
    assert read(tmp_path / "a.txt", newline=newline) == expected


def test_a_truncated_or_damaged_gzip_file_is_reported_after_its_readable_part(tmp_path):
    whole = gzip.compress("\n".join(map(str, range(50_000))).encode())
    (tmp_path / "a.txt.gz").write_bytes(whole[: len(whole) // 2])
    read_lines = []
    with (
        pytest.raises(TextFileError, match=r"a\.txt\.gz is truncated or damaged"),
        open_text(tmp_path / "a.txt.gz") as f,
    ):
        read_lines.extend(line for line in f)
    (tmp_path / "a.txt.gz").write_bytes(whole[:100] + bytes(50) + whole[150:])
    with pytest.raises(TextFileError, match=r"a\.txt\.gz (is truncated or damaged|cannot be read)"):
        read(tmp_path / "a.txt.gz")


def test_a_gz_file_that_is_not_gzipped_is_reported(tmp_path):
    (tmp_path / "a.txt.gz").write_text("plain")
    with pytest.raises(TextFileError, match=r"a\.txt\.gz cannot be read \(Not a gzipped file"):
        read(tmp_path / "a.txt.gz")


@pytest.mark.parametrize("encoding", ["no-such", "hex", "", "utf\0"])
def test_an_unknown_encoding_is_reported(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(TextFileError, match=r"a\.txt: there is no encoding .*; use one such as utf-8 or cp1252"):
        read(tmp_path / "a.txt", encoding=encoding)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.txt", "there is no file .*missing.txt; check the path"),
        ("missing.txt.gz", "there is no file .*missing.txt.gz; check the path"),
        (".", "cannot be read .*[Dd]irectory"),
        ("a" * 300, "cannot be read .*too long"),
        ("null\0.txt", "null character; check the path"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name, told):
    with pytest.raises(TextFileError, match=told):
        read(tmp_path / name)


@pytest.mark.parametrize("error", [KeyError("column"), IndexError("row"), ValueError("number")])
def test_errors_in_the_block_are_not_reported_as_errors_of_the_file(tmp_path, error):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(type(error)) as caught, open_text(tmp_path / "a.txt"):
        raise error
    assert caught.value is error
