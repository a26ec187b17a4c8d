import gzip
import json
from urllib.parse import urlsplit

import pytest

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_compound_text import COMPOUND_URL, PubChemCompoundTexts, read_cids

ABSENT = FetchError("u", 'HTTP 404 PUGVIEW.NotFound, \'{"Fault": {"Code": "PUGVIEW.NotFound"}}\'', 404)


class CompoundClient:
    """A client with answers by CID; exceptions are raised."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def get_json(self, url, data=None):
        assert data is None
        self.asked.append(url)
        answer = self.answers[int(urlsplit(url).path.split("/")[-2])]
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


def write(file, content):
    file.write_bytes(gzip.compress(json.dumps(content, ensure_ascii=False).encode("utf-8")))


def refusal(source, raw):
    with pytest.raises(RecordError) as caught:
        source.parse_texts(raw)
    return caught.value


def reference(number, **changes):
    whole = {
        "ReferenceNumber": number,
        "SourceName": f"Base{number}",
        "SourceID": f"B:{number}",
        "Name": f"name{number}",
        "URL": f"https://example.org/{number}",
        "LicenseURL": f"https://example.org/licence{number}",
        "ANID": 990000 + number,
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def information(number, *paragraphs):
    return {"ReferenceNumber": number, "Value": {"StringWithMarkup": [{"String": p} for p in paragraphs]}}


def record(cid, *pieces, references=(3, 8), **changes):
    inner = {"TOCHeading": "Record Description", "Information": list(pieces)}
    names = {"TOCHeading": "Names and Identifiers", "Section": [inner], "Information": [information(3, "not this")]}
    whole = {
        "RecordType": "CID",
        "RecordNumber": cid,
        "RecordTitle": "Examplamine",
        "Section": [names],
        "Reference": [reference(number) for number in references],
    }
    return {"Record": whole | changes}


def cid_file(folder, content="7\n"):
    file = folder / "cids.txt"
    file.write_text(content, encoding="utf-8")
    return file


def test_cids_are_read_with_blank_lines_and_comments(tmp_path):
    assert read_cids(cid_file(tmp_path, "\ufeff# aspirin first\n2244\n\n 7 # glycol\n7\r\n")) == [7, 2244]


@pytest.mark.parametrize("entry", ["CID7", "-7", "0", "7 8", "7.0", "٧", "7_0"])
def test_an_invalid_cid_is_named_with_its_line(tmp_path, entry):
    with pytest.raises(ValueError, match=r"cids\.txt, line 3: .* is not a CID"):
        read_cids(cid_file(tmp_path, f"1\n# comment\n{entry}\n"))


def test_a_file_without_cids_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cids\.txt has no CID"):
        read_cids(cid_file(tmp_path, "# none yet\n"))


def test_a_list_of_cids_must_be_given(tmp_path):
    with pytest.raises(ValueError, match=r"pubchem_compound_text.*set cids"):
        PubChemCompoundTexts().fetch(CompoundClient({}), tmp_path)


def test_a_source_with_a_path_fetches_nothing(tmp_path):
    server = CompoundClient({})
    PubChemCompoundTexts(path=str(tmp_path)).fetch(server, tmp_path)
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


def test_compounds_are_fetched_once_and_come_in_cid_order(tmp_path):
    answers = {100: record(100, information(3, "A.")), 7: ABSENT}
    source = PubChemCompoundTexts(cids=str(cid_file(tmp_path, "100\n7\n")))
    server, folder = CompoundClient(answers), tmp_path / "raw"
    source.fetch(server, folder)
    assert server.asked == [f"{COMPOUND_URL}/{cid}/JSON?heading=Record+Description" for cid in (7, 100)]
    source.fetch(server, folder)
    assert len(server.asked) == 2
    absent, described = source.read_records(folder)
    found = refusal(source, absent)
    assert (found.record_id, found.reason) == ("7", "no text under the heading")
    assert [text.cid for text in source.parse_texts(described)] == [100]


def test_an_interrupted_list_is_refused_and_resumes_with_the_missing_records(tmp_path):
    source, folder = PubChemCompoundTexts(cids=str(cid_file(tmp_path, "7\n8\n9\n"))), tmp_path / "raw"
    answers = {cid: record(cid, information(3, "A.")) for cid in (7, 8, 9)}
    with pytest.raises(FetchError):
        source.fetch(CompoundClient(answers | {8: FetchError("u", "HTTP 503", 503)}), folder)
    with pytest.raises(FileNotFoundError, match=r"2 files are missing, first .*cid-000000008"):
        list(source.read_records(folder))
    server = CompoundClient(answers)
    source.fetch(server, folder)
    assert [url.split("/")[-2] for url in server.asked] == ["8", "9"]
    assert [cid for cid, _ in source.read_records(folder)] == ["7", "8", "9"]


def test_another_404_is_not_a_compound_without_description(tmp_path):
    moved = FetchError("u", "HTTP 404 Not Found, '<html>'", 404)
    with pytest.raises(FetchError):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path))).fetch(CompoundClient({7: moved}), tmp_path / "raw")
    assert not list(tmp_path.rglob("cid-*"))


def test_an_answer_without_a_record_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="7/JSON"):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path))).fetch(CompoundClient({7: {"Waiting": {}}}), tmp_path / "raw")
    assert not list(tmp_path.rglob("cid-*"))


def test_the_first_compound_comes_without_reading_the_others(tmp_path):
    write(tmp_path / "cid-000000007.json.gz", record(7))
    (tmp_path / "cid-000000008.json.gz").write_bytes(b"damaged")
    assert next(PubChemCompoundTexts().read_records(tmp_path))[0] == "7"


def test_each_reference_gives_a_text_with_its_own_attribution():
    whole = record(7, information(8, "Eight.", "α."), information(3, "Three."), information(8, "Again eight."))
    eight, three = PubChemCompoundTexts().parse_texts(("7", whole))
    assert (eight.text, three.text) == ("Eight.\nα.\nAgain eight.", "Three.")
    assert (eight.record_id, eight.anid, eight.source, eight.source_id) == ("990008:7", 990008, "Base8", "B:8")
    assert (three.url, three.license_url) == ("https://example.org/3", "https://example.org/licence3")
    assert (three.cid, three.name) == (7, "name3")


def test_the_title_of_the_record_is_the_name_if_the_reference_has_none():
    whole = record(7, information(3, "Three."), Reference=[reference(3, Name=None, ANID=None, LicenseURL=None)])
    (text,) = PubChemCompoundTexts().parse_texts(("7", whole))
    assert (text.name, text.anid, text.license_url, text.record_id) == ("Examplamine", None, None, "Base3:B:3:7")


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (record(7, information(3, " ")), "no text under the heading"),
        (record(7, information(4, "Four.")), "a text without its reference"),
        (record(7, {"Value": {"StringWithMarkup": [{"String": "None."}]}}), "a text without its reference"),
        (record(7, information(3, "S."), RecordType="SID"), "not the record of a compound"),
        (record(7, information(3, "S."), Section=[7]), "the record is not in the documented format"),
    ],
    ids=["blank", "unknown reference", "no reference", "a substance", "another form"],
)
def test_a_record_that_cannot_be_used_is_refused(whole, reason):
    found = refusal(PubChemCompoundTexts(), ("7", whole))
    assert (found.record_id, found.reason) == ("7", reason)


def listing(*elements):
    return {"InformationList": {"Information": list(elements)}}


def described(cid, text, base="ExampleBase"):
    url = "https://example.org"
    return {"CID": cid, "Description": text, "DescriptionSourceName": base, "DescriptionURL": url}


def test_lists_of_descriptions_are_read_gzipped_or_not(tmp_path):
    title = {"CID": 7, "Title": "Examplamine"}
    write(tmp_path / "a.json.gz", listing(title, described(7, "An α-amine."), described(7, "An amine.", "Other")))
    (tmp_path / "b.json").write_text(json.dumps(listing({"CID": 8, "Title": "Bare"})), encoding="utf-8")
    source = PubChemCompoundTexts(path=str(tmp_path))
    full, bare = source.read_records(tmp_path)
    first, second = source.parse_texts(full)
    assert (first.text, first.source, first.name, first.cid) == ("An α-amine.", "ExampleBase", "Examplamine", 7)
    assert (second.text, second.source) == ("An amine.", "Other")
    assert (first.url, first.license_url, first.anid) == ("https://example.org", None, None)
    assert first.record_id != second.record_id
    found = refusal(source, bare)
    assert (found.record_id, found.reason) == ("8", "no text under the heading")


def test_an_empty_list_of_descriptions_is_a_broken_file(tmp_path):
    write(tmp_path / "a.json.gz", listing())
    with pytest.raises(ValueError, match=r"a\.json\.gz has no .*fetch it again"):
        list(PubChemCompoundTexts().read_records(tmp_path))


def test_a_compound_that_the_server_does_not_find_has_no_description(tmp_path, server, client):
    refusals = {7: (404, "PUGVIEW.NotFound"), 8: (400, "PUGVIEW.BadRequest")}
    for cid, (status, code) in refusals.items():
        answer = {"status": status, "body": {"Fault": {"Code": code, "Message": "words"}}}
        server.add(f"/{cid}/JSON?heading=Record+Description", {}, answer)
    url, folder = server.url(""), tmp_path / "raw"
    PubChemCompoundTexts(cids=str(cid_file(tmp_path)), url=url).fetch(client, folder)
    assert [file.name for file in folder.iterdir()] == ["cid-000000007.json.gz"]
    with pytest.raises(FetchError, match="BadRequest"):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path, "7\n8\n")), url=url).fetch(client, folder)
