import gzip
import json
import pickle
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from dataset_pubchem3d.fetch import Client, FetchError
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_text import (
    ANNOTATIONS_URL,
    COMPOUND_URL,
    PubChemAnnotations,
    PubChemCompoundTexts,
    read_cids,
)

ABSENT = FetchError("u", 'HTTP 404 PUGVIEW.NotFound, \'{"Fault": {"Code": "PUGVIEW.NotFound"}}\'', 404)


class Server:
    """A client with answers by address; an answer that is an exception is raised."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def get_json(self, url, data=None):
        assert data is None
        self.asked.append(url)
        answer = self.answers(url)
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


def paged(pages):
    """A server of pages by number (of a list, one after the other), and the numbers it was asked for."""
    numbers = []

    def answer(url):
        number = int(parse_qs(urlsplit(url).query)["page"][0])
        numbers.append(number)
        found = pages.get(number, FetchError(url, "gave up after 3 attempts", 500))
        return found.pop(0) if isinstance(found, list) else found

    return Server(answer), numbers


def page(number, total, *annotations):
    return {"Annotations": {"Annotation": list(annotations), "Page": number, "TotalPages": total}}


def block(*paragraphs, heading="Record Description"):
    markup = [
        {"Start": 0, "Length": 4, "URL": "https://example.org", "Type": "PubChem Internal Link", "Extra": "CID-0"}
    ]
    strings = [{"String": paragraph, "Markup": markup} for paragraph in paragraphs]
    return {
        "TOCHeading": {"type": "Compound", "#TOCHeading": heading},
        "Reference": ["A citation, 1999."],
        "Value": {"StringWithMarkup": strings},
    }


def annotation(anid=990001, cids=(990000001,), data=None, **changes):
    whole = {
        "SourceName": "ExampleBase",
        "SourceID": "EX:000017",
        "Name": "examplamine",
        "URL": "https://example.org/EX:000017",
        "LicenseNote": "free text",
        "LicenseURL": "https://example.org/licence",
        "Data": [block("Examplamine is a primary amine.")] if data is None else data,
        "ANID": anid,
        "LinkedRecords": {"CID": list(cids)},
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def write(file, content):
    file.write_bytes(gzip.compress(json.dumps(content, ensure_ascii=False).encode("utf-8")))


def refusal(source, raw):
    with pytest.raises(RecordError) as caught:
        source.texts(raw)
    return caught.value


TWO_PAGES = {1: page(1, 2, annotation(1), annotation(2)), 2: page(2, 2, annotation(3))}


# the annotations, fetched


def test_pages_are_asked_for_by_heading_and_source_from_1_to_the_last(tmp_path):
    server, numbers = paged(TWO_PAGES)
    PubChemAnnotations(annotation_source="ChEBI").fetch(server, tmp_path / "new")
    assert numbers == [1, 2]
    assert server.asked[0].startswith(ANNOTATIONS_URL + "?")
    query = parse_qs(urlsplit(server.asked[0]).query, strict_parsing=True)
    assert query == {
        "heading_type": ["Compound"],
        "heading": ["Record Description"],
        "page": ["1"],
        "source": ["ChEBI"],
    }
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["page-00001.json.gz", "page-00002.json.gz"]


def test_all_sources_are_asked_for_unless_one_is_named(tmp_path):
    server, _ = paged(TWO_PAGES)
    PubChemAnnotations(url="http://localhost:1/annotations").fetch(server, tmp_path)
    assert all(url.startswith("http://localhost:1/annotations?") and "source=" not in url for url in server.asked)


def test_a_second_fetch_asks_for_nothing(tmp_path):
    PubChemAnnotations().fetch(paged(TWO_PAGES)[0], tmp_path)
    server, numbers = paged({})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == []


def test_a_source_with_a_path_fetches_nothing(tmp_path):
    server, numbers = paged({})
    PubChemAnnotations(path=str(tmp_path)).fetch(server, tmp_path)
    PubChemCompoundTexts(path=str(tmp_path)).fetch(server, tmp_path)
    assert numbers == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [503, None], ids=["Fault 503", "no answer"])
def test_an_interrupted_fetch_goes_on_with_what_is_missing(tmp_path, status):
    busy = FetchError("u", "PUGVIEW.ServerBusy", status)
    three = {number: page(number, 3, annotation(number)) for number in (1, 2, 3)}
    server, numbers = paged(three | {2: busy})
    with pytest.raises(FetchError, match="ServerBusy"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == ([1, 2, 1] if status else [1, 2])
    with pytest.raises(ValueError, match=r"page-00001.*page 1 of 3"):
        list(PubChemAnnotations().raw_records(tmp_path))
    server, numbers = paged(three)
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [2, 3]
    assert [raw["ANID"] for raw in PubChemAnnotations().raw_records(tmp_path)] == [1, 2, 3]


def test_pages_that_are_added_meanwhile_are_fetched_too(tmp_path):
    server, numbers = paged({1: page(1, 2), 2: page(2, 3), 3: page(3, 3, annotation(7))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2, 3]
    assert [raw["ANID"] for raw in PubChemAnnotations().raw_records(tmp_path)] == [7]


def test_pages_that_are_announced_no_longer_are_not_asked_for(tmp_path):
    server, numbers = paged({1: page(1, 4), 2: page(2, 2, annotation(7))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2]
    assert [raw["ANID"] for raw in PubChemAnnotations().raw_records(tmp_path)] == [7]


def test_when_the_announced_page_has_gone_the_page_before_it_is_renewed(tmp_path):
    server, numbers = paged({1: page(1, 3), 2: [page(2, 3, annotation(7)), page(2, 2, annotation(8))]})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2, 3, 2]
    assert [raw["ANID"] for raw in PubChemAnnotations().raw_records(tmp_path)] == [8]
    again, numbers = paged({})
    PubChemAnnotations().fetch(again, tmp_path)
    assert numbers == []


def test_an_error_500_on_a_page_that_is_still_announced_is_raised_and_keeps_the_others(tmp_path):
    server, numbers = paged({1: page(1, 2, annotation(7))})
    with pytest.raises(FetchError, match="gave up") as caught:
        PubChemAnnotations().fetch(server, tmp_path)
    assert caught.value.status == 500
    assert numbers == [1, 2, 1]
    assert (tmp_path / "page-00001.json.gz").is_file()


def test_an_error_on_the_first_page_is_raised_and_no_other_page_asked_for(tmp_path):
    server, numbers = paged({})
    with pytest.raises(FetchError, match="gave up"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1]


@pytest.mark.parametrize(
    "answer", [{"Waiting": {}}, {"Annotations": {"Annotation": [], "Page": 1}}, page(2, 2)], ids=str
)
def test_an_answer_that_is_not_the_page_asked_for_is_not_kept(tmp_path, answer):
    server, _ = paged({1: answer})
    with pytest.raises(ValueError, match=r"heading=Record\+Description&page=1"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


# the annotations, read


def test_the_first_record_comes_without_reading_the_second_page(tmp_path):
    write(tmp_path / "page-00001.json.gz", TWO_PAGES[1])
    (tmp_path / "page-00002.json.gz").write_bytes(b"damaged")
    records = PubChemAnnotations().raw_records(tmp_path)
    assert [next(records)["ANID"], next(records)["ANID"]] == [1, 2]
    with pytest.raises(ValueError, match=r"page-00002\.json\.gz cannot be read.*fetch again"):
        next(records)


def test_records_and_sources_can_be_sent_to_other_processes(tmp_path):
    write(tmp_path / "page-00001.json.gz", page(1, 1, annotation()))
    source, raw = pickle.loads(pickle.dumps((PubChemAnnotations(), next(PubChemAnnotations().raw_records(tmp_path)))))
    assert source.texts(raw) == PubChemAnnotations().texts(annotation())


def test_a_missing_page_is_named_by_the_page_that_does_not_follow(tmp_path):
    write(tmp_path / "page-00001.json.gz", page(1, 3))
    write(tmp_path / "page-00003.json.gz", page(3, 3))
    with pytest.raises(ValueError, match=r"page-00003\.json\.gz is page 3 where page 2 follows"):
        list(PubChemAnnotations().raw_records(tmp_path))


def test_a_folder_without_pages_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pubchem_text.*stage fetch"):
        list(PubChemAnnotations().raw_records(tmp_path))


WHOLE = gzip.compress(json.dumps(page(1, 1, annotation())).encode())
DAMAGES = {
    "empty": b"",
    "no gzip": b"<html>",
    "truncated": WHOLE[:-12],
    "flipped": WHOLE[:60] + bytes(byte ^ 255 for byte in WHOLE[60:80]) + WHOLE[80:],
    "half a JSON": gzip.compress(b'{"Annotations": {"Annota'),
    "a list": gzip.compress(b"[1, 2]"),
    "a number": gzip.compress(b"7"),
    "no UTF-8": gzip.compress(b'{"Annotations": "\xff\xfe"}'),
    "a Fault": gzip.compress(b'{"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "busy"}}'),
    "Annotations is a list": gzip.compress(b'{"Annotations": []}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, damage):
    for source, name in ((PubChemAnnotations(), "page-00001"), (PubChemCompoundTexts(), "cid-000000007")):
        folder = tmp_path / source.name
        folder.mkdir()
        (folder / f"{name}.json.gz").write_bytes(damage)
        with pytest.raises(ValueError, match=rf"{name}\.json\.gz.*fetch"):
            list(source.raw_records(folder))


# the annotations, parsed


def test_an_annotation_gives_its_text_with_attribution():
    (text,) = PubChemAnnotations().texts(annotation())
    assert (text.record_id, text.cid, text.anid) == ("990001:990000001", 990000001, 990001)
    assert text.text == "Examplamine is a primary amine."
    assert (text.source, text.source_id, text.name) == ("ExampleBase", "EX:000017", "examplamine")
    assert (text.url, text.license_url) == ("https://example.org/EX:000017", "https://example.org/licence")
    assert (text.compound, text.raw, text.kind, text.is_composed) == (None, None, None, False)


def test_all_blocks_and_paragraphs_are_joined_by_line_breaks():
    data = [block("One.", " Two  stays as it is.", "  "), block("Three.")]
    (text,) = PubChemAnnotations().texts(annotation(data=data))
    assert text.text == "One.\n Two  stays as it is.\nThree."


def test_greek_letters_and_primes_survive_from_the_server_to_the_text(tmp_path):
    words = "α-Examplose 5′-phosphate, Δ⁹, β-D-ξ. 𝛼"
    server, _ = paged({1: page(1, 1, annotation(data=[block(words)]))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert words.encode("utf-8") in gzip.decompress((tmp_path / "page-00001.json.gz").read_bytes())
    (text,) = PubChemAnnotations().texts(next(PubChemAnnotations().raw_records(tmp_path)))
    assert text.text == words


def test_half_a_surrogate_pair_is_a_bad_record(tmp_path):
    server, _ = paged({1: page(1, 1, annotation(data=[block("broken \ud835 letter")]))})
    PubChemAnnotations().fetch(server, tmp_path)
    found = refusal(PubChemAnnotations(), next(PubChemAnnotations().raw_records(tmp_path)))
    assert (found.record_id, found.reason) == ("990001", "the record has not the documented form")
    assert "surrogates" in found.detail


@pytest.mark.parametrize("heading", ["Record Description", {"#TOCHeading": "Record Description"}, None], ids=str)
def test_a_heading_is_a_string_or_an_object_or_missing(heading):
    data = [block("Taken.") | {"TOCHeading": heading}, block("Left.") | {"TOCHeading": "Uses"}]
    (text,) = PubChemAnnotations().texts(annotation(data=data))
    assert text.text == "Taken."


def test_blocks_of_another_heading_are_no_text():
    found = refusal(PubChemAnnotations(), annotation(data=[block("It melts.", heading="Melting Point")]))
    assert (found.record_id, found.reason) == ("990001", "no text under the heading")
    assert "Melting Point" in found.detail
    (text,) = PubChemAnnotations(heading="Melting Point").texts(
        annotation(data=[block("It melts.", heading="Melting Point")])
    )
    assert text.text == "It melts."


@pytest.mark.parametrize(
    "data",
    [[], [block()], [block(" ")], [{"TOCHeading": "Record Description"}], [{"Value": {"Number": [1.5], "Unit": "g"}}]],
    ids=["no block", "no paragraph", "blank", "no value", "a number"],
)
def test_an_annotation_without_text_is_refused(data):
    assert refusal(PubChemAnnotations(), annotation(data=data)).reason == "no text under the heading"


@pytest.mark.parametrize("linked", [None, {}, {"CID": []}, {"SID": [5]}], ids=str)
def test_an_annotation_without_a_compound_is_refused(linked):
    found = refusal(PubChemAnnotations(), annotation(LinkedRecords=linked))
    assert (found.record_id, found.reason) == ("990001", "no linked compound")


def test_an_annotation_of_two_compounds_is_refused_with_their_number():
    found = refusal(PubChemAnnotations(), annotation(cids=(11, 12)))
    assert (found.reason, found.detail) == ("linked to several compounds", "2 compounds")


def test_an_annotation_of_two_compounds_can_be_kept_for_each():
    texts = PubChemAnnotations(ambiguous="keep").texts(annotation(cids=(12, 11, 12)))
    assert [(text.record_id, text.cid) for text in texts] == [("990001:12", 12), ("990001:11", 11)]
    assert len({text.text for text in texts}) == 1


def test_the_same_compound_linked_twice_is_not_ambiguous():
    assert [text.cid for text in PubChemAnnotations().texts(annotation(cids=(11, 11)))] == [11]


def test_another_word_for_ambiguous_is_refused():
    with pytest.raises(ValueError, match="'drop' is neither 'refuse' nor 'keep'"):
        PubChemAnnotations(ambiguous="drop")


def test_missing_attribution_is_tolerated():
    bare = annotation(Name=None, LicenseURL=None, LicenseNote=None, URL=None, SourceID=None)
    (text,) = PubChemAnnotations().texts(bare)
    assert (text.name, text.license_url, text.url, text.source_id) == (None, None, None, None)
    assert text.record_id == "990001:990000001"


def test_without_an_anid_the_source_and_its_id_are_the_record_id():
    (text,) = PubChemAnnotations().texts(annotation(anid=None))
    assert (text.record_id, text.anid) == ("ExampleBase:EX:000017:990000001", None)


def test_annotations_of_another_source_are_refused_where_one_is_named():
    found = refusal(PubChemAnnotations(annotation_source="ChEBI"), annotation())
    assert (found.reason, found.detail) == ("annotation of another source", "ExampleBase")
    assert PubChemAnnotations(annotation_source="ExampleBase").texts(annotation())


@pytest.mark.parametrize(
    "changes", [{"SourceName": None}, {"Data": ["text"]}, {"LinkedRecords": {"CID": ["x"]}}, {"LinkedRecords": [7]}]
)
def test_an_annotation_of_another_form_is_a_bad_record(changes):
    found = refusal(PubChemAnnotations(), annotation(**changes))
    assert (found.record_id, found.reason) == ("990001", "the record has not the documented form")
    assert found.detail


# records of single compounds


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


def by_cid(answers):
    return Server(lambda url: answers[int(urlsplit(url).path.split("/")[-2])])


def test_cids_are_read_with_blank_lines_and_comments(tmp_path):
    assert read_cids(cid_file(tmp_path, "\ufeff# aspirin first\n2244\n\n 7 # glycol\n7\r\n")) == [7, 2244]


@pytest.mark.parametrize("entry", ["CID7", "-7", "0", "7 8", "7.0", "٧", "7_0"])
def test_what_is_no_cid_is_named_by_its_line(tmp_path, entry):
    with pytest.raises(ValueError, match=r"cids\.txt, line 3: .* is not a CID"):
        read_cids(cid_file(tmp_path, f"1\n# comment\n{entry}\n"))


def test_a_file_without_cids_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cids\.txt lists no CID"):
        read_cids(cid_file(tmp_path, "# none yet\n"))


def test_a_list_of_cids_must_be_given(tmp_path):
    with pytest.raises(ValueError, match=r"pubchem_compound_text.*set cids"):
        PubChemCompoundTexts().fetch(by_cid({}), tmp_path)


def test_compounds_are_fetched_once_and_come_in_the_order_of_their_cids(tmp_path):
    answers = {100: record(100, information(3, "A.")), 7: ABSENT}
    source = PubChemCompoundTexts(cids=str(cid_file(tmp_path, "100\n7\n")))
    server, folder = by_cid(answers), tmp_path / "raw"
    source.fetch(server, folder)
    assert server.asked == [f"{COMPOUND_URL}/{cid}/JSON?heading=Record+Description" for cid in (7, 100)]
    source.fetch(server, folder)
    assert len(server.asked) == 2
    absent, described = source.raw_records(folder)
    found = refusal(source, absent)
    assert (found.record_id, found.reason) == ("7", "no text under the heading")
    assert [text.cid for text in source.texts(described)] == [100]


def test_an_interrupted_list_is_refused_and_goes_on_with_what_is_missing(tmp_path):
    source, folder = PubChemCompoundTexts(cids=str(cid_file(tmp_path, "7\n8\n9\n"))), tmp_path / "raw"
    answers = {cid: record(cid, information(3, "A.")) for cid in (7, 8, 9)}
    with pytest.raises(FetchError):
        source.fetch(by_cid(answers | {8: FetchError("u", "HTTP 503", 503)}), folder)
    with pytest.raises(FileNotFoundError, match=r"2 files are missing, the first is .*cid-000000008"):
        list(source.raw_records(folder))
    server = by_cid(answers)
    source.fetch(server, folder)
    assert [url.split("/")[-2] for url in server.asked] == ["8", "9"]
    assert [cid for cid, _ in source.raw_records(folder)] == ["7", "8", "9"]


def test_a_404_of_another_kind_is_not_taken_for_a_compound_without_description(tmp_path):
    moved = FetchError("u", "HTTP 404 Not Found, '<html>'", 404)
    with pytest.raises(FetchError):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path))).fetch(by_cid({7: moved}), tmp_path / "raw")
    assert not list(tmp_path.rglob("cid-*"))


def test_an_answer_without_a_record_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="7/JSON"):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path))).fetch(by_cid({7: {"Waiting": {}}}), tmp_path / "raw")
    assert not list(tmp_path.rglob("cid-*"))


def test_a_later_compound_is_not_read_for_the_first(tmp_path):
    write(tmp_path / "cid-000000007.json.gz", record(7))
    (tmp_path / "cid-000000008.json.gz").write_bytes(b"damaged")
    assert next(PubChemCompoundTexts().raw_records(tmp_path))[0] == "7"


def test_each_reference_gives_a_text_with_its_own_attribution():
    whole = record(7, information(8, "Eight.", "α."), information(3, "Three."), information(8, "Again eight."))
    eight, three = PubChemCompoundTexts().texts(("7", whole))
    assert (eight.text, three.text) == ("Eight.\nα.\nAgain eight.", "Three.")
    assert (eight.record_id, eight.anid, eight.source, eight.source_id) == ("990008:7", 990008, "Base8", "B:8")
    assert (three.url, three.license_url) == ("https://example.org/3", "https://example.org/licence3")
    assert (three.cid, three.name) == (7, "name3")


def test_the_title_of_the_record_is_the_name_where_the_reference_has_none():
    whole = record(7, information(3, "Three."), Reference=[reference(3, Name=None, ANID=None, LicenseURL=None)])
    (text,) = PubChemCompoundTexts().texts(("7", whole))
    assert (text.name, text.anid, text.license_url, text.record_id) == ("Examplamine", None, None, "Base3:B:3:7")


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (record(7, information(3, " ")), "no text under the heading"),
        (record(7, information(4, "Four.")), "a text without its reference"),
        (record(7, {"Value": {"StringWithMarkup": [{"String": "None."}]}}), "a text without its reference"),
        (record(7, information(3, "S."), RecordType="SID"), "not the record of a compound"),
        (record(7, information(3, "S."), Section=[7]), "the record has not the documented form"),
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


def test_lists_of_descriptions_are_read_from_a_folder_packed_or_not(tmp_path):
    title = {"CID": 7, "Title": "Examplamine"}
    write(tmp_path / "a.json.gz", listing(title, described(7, "An α-amine."), described(7, "An amine.", "Other")))
    (tmp_path / "b.json").write_text(json.dumps(listing({"CID": 8, "Title": "Bare"})), encoding="utf-8")
    source = PubChemCompoundTexts(path=str(tmp_path))
    full, bare = source.raw_records(tmp_path)
    first, second = source.texts(full)
    assert (first.text, first.source, first.name, first.cid) == ("An α-amine.", "ExampleBase", "Examplamine", 7)
    assert (second.text, second.source) == ("An amine.", "Other")
    assert (first.url, first.license_url, first.anid) == ("https://example.org", None, None)
    assert first.record_id != second.record_id
    found = refusal(source, bare)
    assert (found.record_id, found.reason) == ("8", "no text under the heading")


def test_an_empty_list_of_descriptions_is_a_broken_file(tmp_path):
    write(tmp_path / "a.json.gz", listing())
    with pytest.raises(ValueError, match=r"a\.json\.gz has no .*fetch it again"):
        list(PubChemCompoundTexts().raw_records(tmp_path))


# with the client that the build uses


@pytest.fixture
def served():
    """Address of a server and its answers by path and query: (status, object), the last for good."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            queue = answers[self.path]
            status, content = queue.pop(0) if len(queue) > 1 else queue[0]
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


@pytest.fixture
def client():
    client = Client(requests_per_second=1000, sleep=lambda seconds: None)
    client.session.trust_env = False  # no proxy
    with client.session:
        yield client


def fault(code):
    return {"Fault": {"Code": f"PUGVIEW.{code}", "Message": "words"}}


def test_a_busy_server_is_asked_again_and_a_page_past_the_end_is_not_waited_for(tmp_path, served, client):
    url, answers = served
    query = "/?heading_type=Compound&heading=Record+Description&page="
    answers[query + "1"] = [(503, fault("ServerBusy")), (200, page(1, 2, annotation(1))), (200, page(1, 1))]
    answers[query + "2"] = [(500, fault("ServerError"))]
    source = PubChemAnnotations(url=url + "/")
    source.fetch(client, tmp_path)
    assert list(source.raw_records(tmp_path)) == []


def test_a_compound_not_found_by_the_server_is_one_without_description(tmp_path, served, client):
    url, answers = served
    answers["/7/JSON?heading=Record+Description"] = [(404, fault("NotFound"))]
    answers["/8/JSON?heading=Record+Description"] = [(400, fault("BadRequest"))]
    PubChemCompoundTexts(cids=str(cid_file(tmp_path)), url=url).fetch(client, tmp_path / "raw")
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["cid-000000007.json.gz"]
    with pytest.raises(FetchError, match="BadRequest"):
        PubChemCompoundTexts(cids=str(cid_file(tmp_path, "7\n8\n")), url=url).fetch(client, tmp_path / "raw")
