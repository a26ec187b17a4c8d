"""Fetching annotations: page by page, resumed, with disturbances, and by a complete build."""

import gzip
import json
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import pytest
import yaml

from dataset_pubchem3d.build import build
from dataset_pubchem3d.fetch.client import Client, FetchError
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.pubchem_annotations import ANNOTATIONS_URL, PubChemAnnotations
from dataset_pubchem3d.stages import read

HTML = {"status": 503, "body": b"<html>Service unavailable</html>", "headers": {"Content-Type": "text/html"}}


class PagedClient:
    """A client with pages by number; the pages of a list are served in turn, and exceptions are raised."""

    def __init__(self, pages):
        self.pages, self.asked, self.numbers = pages, [], []

    def get_json(self, url, data=None):
        assert data is None
        number = int(parse_qs(urlsplit(url).query)["page"][0])
        self.asked.append(url)
        self.numbers.append(number)
        found = self.pages.get(number, FetchError(url, "gave up after 3 attempts", 500))
        found = found.pop(0) if isinstance(found, list) else found
        if isinstance(found, Exception):
            raise found
        return json.loads(json.dumps(found))


def paged(pages):
    """A client and the numbers of the requested pages."""
    client = PagedClient(pages)
    return client, client.numbers


def page(number, total, *annotations):
    return {"Annotations": {"Annotation": list(annotations), "Page": number, "TotalPages": total}}


def annotation(anid, text="Examplamine is a primary amine."):
    data = [{"TOCHeading": "Record Description", "Value": {"StringWithMarkup": [{"String": text}]}}]
    return {"ANID": anid, "SourceName": "ExampleBase", "Data": data, "LinkedRecords": {"CID": [990000001]}}


TWO_PAGES = {1: page(1, 2, annotation(1), annotation(2)), 2: page(2, 2, annotation(3))}


def test_pages_are_requested_by_heading_and_source_from_1_to_the_last(tmp_path):
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


def test_all_sources_are_requested_unless_one_is_named(tmp_path):
    server, _ = paged(TWO_PAGES)
    PubChemAnnotations(url="http://localhost:1/annotations").fetch(server, tmp_path)
    assert all(url.startswith("http://localhost:1/annotations?") and "source=" not in url for url in server.asked)


def test_a_second_fetch_requests_nothing(tmp_path):
    PubChemAnnotations().fetch(paged(TWO_PAGES)[0], tmp_path)
    server, numbers = paged({})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == []


def test_a_source_with_a_path_fetches_nothing(tmp_path):
    server, numbers = paged({})
    PubChemAnnotations(path=str(tmp_path)).fetch(server, tmp_path)
    assert numbers == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [503, None], ids=["Fault 503", "no answer"])
def test_an_interrupted_fetch_resumes_with_the_missing_pages(tmp_path, status):
    busy = FetchError("u", "PUGVIEW.ServerBusy", status)
    three = {number: page(number, 3, annotation(number)) for number in (1, 2, 3)}
    server, numbers = paged(three | {2: busy})
    with pytest.raises(FetchError, match="ServerBusy"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == ([1, 2, 1] if status else [1, 2])
    with pytest.raises(ValueError, match=r"page-00001.*page 1 of 3"):
        list(PubChemAnnotations().read_records(tmp_path))
    server, numbers = paged(three)
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [2, 3]
    assert [raw["ANID"] for raw in PubChemAnnotations().read_records(tmp_path)] == [1, 2, 3]


def test_pages_added_meanwhile_are_fetched_too(tmp_path):
    server, numbers = paged({1: page(1, 2), 2: page(2, 3), 3: page(3, 3, annotation(7))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2, 3]
    assert [raw["ANID"] for raw in PubChemAnnotations().read_records(tmp_path)] == [7]


def test_pages_that_no_longer_exist_are_not_requested(tmp_path):
    server, numbers = paged({1: page(1, 4), 2: page(2, 2, annotation(7))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2]
    assert [raw["ANID"] for raw in PubChemAnnotations().read_records(tmp_path)] == [7]


def test_if_an_announced_page_is_gone_the_page_before_it_is_fetched_again(tmp_path):
    server, numbers = paged({1: page(1, 3), 2: [page(2, 3, annotation(7)), page(2, 2, annotation(8))]})
    PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1, 2, 3, 2]
    assert [raw["ANID"] for raw in PubChemAnnotations().read_records(tmp_path)] == [8]
    again, numbers = paged({})
    PubChemAnnotations().fetch(again, tmp_path)
    assert numbers == []


def test_an_error_500_on_an_announced_page_is_raised_and_other_pages_are_kept(tmp_path):
    server, numbers = paged({1: page(1, 2, annotation(7))})
    with pytest.raises(FetchError, match="gave up") as caught:
        PubChemAnnotations().fetch(server, tmp_path)
    assert caught.value.status == 500
    assert numbers == [1, 2, 1]
    assert (tmp_path / "page-00001.json.gz").is_file()


def test_an_error_on_the_first_page_is_raised_and_no_other_page_is_requested(tmp_path):
    server, numbers = paged({})
    with pytest.raises(FetchError, match="gave up"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert numbers == [1]


@pytest.mark.parametrize(
    "answer", [{"Waiting": {}}, {"Annotations": {"Annotation": [], "Page": 1}}, page(2, 2)], ids=str
)
def test_an_answer_with_another_page_is_not_kept(tmp_path, answer):
    server, _ = paged({1: answer})
    with pytest.raises(ValueError, match=r"heading=Record\+Description&page=1"):
        PubChemAnnotations().fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_greek_letters_and_primes_survive_from_the_server_to_the_text(tmp_path):
    words = "α-Examplose 5′-phosphate, Δ⁹, β-D-ξ. 𝛼"
    server, _ = paged({1: page(1, 1, annotation(990001, words))})
    PubChemAnnotations().fetch(server, tmp_path)
    assert words.encode("utf-8") in gzip.decompress((tmp_path / "page-00001.json.gz").read_bytes())
    (text,) = PubChemAnnotations().parse_texts(next(PubChemAnnotations().read_records(tmp_path)))
    assert text.text == words


def test_a_lone_surrogate_is_a_bad_record(tmp_path):
    server, _ = paged({1: page(1, 1, annotation(990001, "broken \ud835 letter"))})
    PubChemAnnotations().fetch(server, tmp_path)
    with pytest.raises(RecordError) as caught:
        PubChemAnnotations().parse_texts(next(PubChemAnnotations().read_records(tmp_path)))
    assert (caught.value.record_id, caught.value.reason) == ("990001", "the record is not in the documented format")
    assert "surrogates" in caught.value.detail


# With the client that the build uses


QUERY = "/?heading_type=Compound&heading=Record+Description&page="


def fault(code):
    return {"Fault": {"Code": f"PUGVIEW.{code}", "Message": "words"}}


def test_a_busy_server_is_asked_again_but_a_page_past_the_end_is_not(tmp_path, server, client):
    busy = {"status": 503, "body": fault("ServerBusy")}
    server.add(QUERY + "1", page(1, 1), busy, {"body": page(1, 2, annotation(1))})
    server.add(QUERY + "2", {}, *[{"status": 500, "body": fault("ServerError")}] * 9)
    source = PubChemAnnotations(url=server.url("/"))
    source.fetch(client, tmp_path)
    assert list(source.read_records(tmp_path)) == []


# In a whole build


@pytest.fixture
def recipe(world, server, new_client, tmp_path, monkeypatch):
    """The recipe of the small world, with its annotations on the server, in three pages."""
    monkeypatch.setattr(read, "Client", new_client)
    annotations = list(PubChemAnnotations().read_records(world / "text"))
    for number in (1, 2, 3):
        server.add(f"{QUERY}{number}", page(number, 3, *annotations[5 * number - 5 : 5 * number]))
    settings = yaml.safe_load((world / "recipe.yaml").read_text())
    settings["texts"] = [{"source": "pubchem_text", "url": server.url("/")}]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return Recipe.from_yaml(tmp_path / "recipe.yaml")


def pages_asked(server):
    """The numbers of the pages requested since the last call, in order."""
    numbers = [int(request["path"].removeprefix(QUERY)) for request in server.requests]
    server.requests.clear()
    return numbers


def texts_stage(out):
    """The contents of the parts of the texts stage, by file; stage.json depends on modification times."""
    files = (out.with_name(f".{out.name}.work") / "texts_pubchem_text").iterdir()
    return {file.name: file.read_bytes() for file in files if file.name not in ("key", "stage.json")}


def killed_at_page_2(get_json):
    def get(client, url):
        if url.endswith("page=2"):
            raise KeyboardInterrupt
        return get_json(client, url)

    return get


def test_a_disturbed_and_killed_build_requests_only_missing_pages_and_reads_the_same(
    recipe, server, tmp_path, monkeypatch
):
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    counts = build(recipe, calm, last_stage="read")
    assert pages_asked(server) == [1, 2, 3]
    server.disturb(QUERY + "1", HTML, {"is_mute": True})
    server.disturb(QUERY + "2", {"cut_after": 700}, HTML)
    server.disturb(QUERY + "3", {"is_mute": True}, HTML, {"cut_after": 0})
    with monkeypatch.context() as patch:
        patch.setattr(Client, "get_json", killed_at_page_2(Client.get_json))
        with pytest.raises(KeyboardInterrupt):
            build(recipe, disturbed, last_stage="read")
    assert pages_asked(server) == [1] * 3
    assert [file.name for file in (tmp_path / ".disturbed.work" / "raw").rglob("*.*")] == ["page-00001.json.gz"]
    assert build(recipe, disturbed, last_stage="read") == counts
    assert pages_asked(server) == [2] * 3 + [3] * 4
    assert texts_stage(disturbed) == texts_stage(calm)
    (part,) = (tmp_path / ".disturbed.work" / "texts_pubchem_text").glob("*.parquet")
    assert pq.read_table(part).column("anid").to_pylist() == [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15]
    assert build(recipe, disturbed, last_stage="read") == counts
    assert pages_asked(server) == []
