import gzip
import json
import pickle

import pytest

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_annotations import PubChemAnnotations


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
        source.parse_texts(raw)
    return caught.value


# Read


def test_the_first_record_comes_without_reading_the_second_page(tmp_path):
    write(tmp_path / "page-00001.json.gz", page(1, 2, annotation(1), annotation(2)))
    (tmp_path / "page-00002.json.gz").write_bytes(b"damaged")
    records = PubChemAnnotations().read_records(tmp_path)
    assert [next(records)["ANID"], next(records)["ANID"]] == [1, 2]
    with pytest.raises(ValueError, match=r"page-00002\.json\.gz cannot be read.*fetch again"):
        next(records)


def test_records_and_sources_can_be_sent_to_other_processes(tmp_path):
    write(tmp_path / "page-00001.json.gz", page(1, 1, annotation()))
    source, raw = pickle.loads(pickle.dumps((PubChemAnnotations(), next(PubChemAnnotations().read_records(tmp_path)))))
    assert source.parse_texts(raw) == PubChemAnnotations().parse_texts(annotation())


def test_a_missing_page_is_detected_by_the_page_after_it(tmp_path):
    write(tmp_path / "page-00001.json.gz", page(1, 3))
    write(tmp_path / "page-00003.json.gz", page(3, 3))
    with pytest.raises(ValueError, match=r"page-00003\.json\.gz is page 3, not page 2"):
        list(PubChemAnnotations().read_records(tmp_path))


def test_a_folder_without_pages_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pubchem_text.*stage fetch"):
        list(PubChemAnnotations().read_records(tmp_path))


# Parsed


def test_an_annotation_gives_its_text_with_attribution():
    (text,) = PubChemAnnotations().parse_texts(annotation())
    assert (text.record_id, text.cid, text.anid) == ("990001:990000001", 990000001, 990001)
    assert text.text == "Examplamine is a primary amine."
    assert (text.source, text.source_id, text.name) == ("ExampleBase", "EX:000017", "examplamine")
    assert (text.url, text.license_url) == ("https://example.org/EX:000017", "https://example.org/licence")
    assert (text.compound, text.raw, text.kind, text.is_composed) == (None, None, None, False)


def test_all_blocks_and_paragraphs_are_joined_with_line_breaks():
    data = [block("One.", " Two  stays as it is.", "  "), block("Three.")]
    (text,) = PubChemAnnotations().parse_texts(annotation(data=data))
    assert text.text == "One.\n Two  stays as it is.\nThree."


@pytest.mark.parametrize("heading", ["Record Description", {"#TOCHeading": "Record Description"}, None], ids=str)
def test_a_heading_is_a_string_or_an_object_or_missing(heading):
    data = [block("Taken.") | {"TOCHeading": heading}, block("Left.") | {"TOCHeading": "Uses"}]
    (text,) = PubChemAnnotations().parse_texts(annotation(data=data))
    assert text.text == "Taken."


def test_blocks_with_another_heading_are_ignored():
    found = refusal(PubChemAnnotations(), annotation(data=[block("It melts.", heading="Melting Point")]))
    assert (found.record_id, found.reason) == ("990001", "no text under the heading")
    assert "Melting Point" in found.detail
    (text,) = PubChemAnnotations(heading="Melting Point").parse_texts(
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
    texts = PubChemAnnotations(ambiguous="keep").parse_texts(annotation(cids=(12, 11, 12)))
    assert [(text.record_id, text.cid) for text in texts] == [("990001:12", 12), ("990001:11", 11)]
    assert len({text.text for text in texts}) == 1


def test_the_same_compound_linked_twice_is_not_ambiguous():
    assert [text.cid for text in PubChemAnnotations().parse_texts(annotation(cids=(11, 11)))] == [11]


def test_an_invalid_value_of_ambiguous_is_refused():
    with pytest.raises(ValueError, match="ambiguous='drop'; choose 'refuse' or 'keep'"):
        PubChemAnnotations(ambiguous="drop")


def test_missing_attribution_is_tolerated():
    bare = annotation(Name=None, LicenseURL=None, LicenseNote=None, URL=None, SourceID=None)
    (text,) = PubChemAnnotations().parse_texts(bare)
    assert (text.name, text.license_url, text.url, text.source_id) == (None, None, None, None)
    assert text.record_id == "990001:990000001"


def test_without_an_anid_the_source_and_its_id_are_the_record_id():
    (text,) = PubChemAnnotations().parse_texts(annotation(anid=None))
    assert (text.record_id, text.anid) == ("ExampleBase:EX:000017:990000001", None)


def test_annotations_of_another_source_are_refused_if_one_is_named():
    found = refusal(PubChemAnnotations(annotation_source="ChEBI"), annotation())
    assert (found.reason, found.detail) == ("annotation of another source", "ExampleBase")
    assert PubChemAnnotations(annotation_source="ExampleBase").parse_texts(annotation())


@pytest.mark.parametrize(
    "changes", [{"SourceName": None}, {"Data": ["text"]}, {"LinkedRecords": {"CID": ["x"]}}, {"LinkedRecords": [7]}]
)
def test_an_annotation_in_another_format_is_a_bad_record(changes):
    found = refusal(PubChemAnnotations(), annotation(**changes))
    assert (found.record_id, found.reason) == ("990001", "the record is not in the documented format")
    assert found.detail
