"""Neighbours are the nearest molecules by geometry, never the molecule itself; references belong to one tower."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from modeling_geomclip import GeomCLIPFeatureExtractor, GeomCLIPReferences, embed_molecules
from modeling_geomclip.references_geomclip import hash_geometry_side

KEYS = ["AAAAAAAAAAAAAA-X", "BBBBBBBBBBBBBB-X", "BBBBBBBBBBBBBB-Y", "CCCCCCCCCCCCCC", "DDDDDDDDDDDDDD"]
CAPTIONS = ["an acid", "a base", "another base", "a salt\u2028of two lines", "an acid"]
DIRECTIONS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])


def make(**changes) -> GeomCLIPReferences:
    given = {"embeddings": DIRECTIONS, "captions": CAPTIONS, "inchikeys": KEYS, "tower_sha256": "0"} | changes
    return GeomCLIPReferences(**given)


def named(found) -> list[list[str]]:
    return [[neighbour.inchikey for neighbour in row] for row in found]


def test_neighbours_are_sorted_by_cosine():
    (found,) = make().find(torch.tensor([[3.0, 0.0]]), 3)  # of any length
    assert named([found]) == [[KEYS[0], KEYS[1], KEYS[3]]]  # BBBBBBBBBBBBBB once, although both are nearer
    assert [neighbour.similarity for neighbour in found] == pytest.approx([1.0, 0.8, 0.0], abs=1e-3)
    assert [neighbour.caption for neighbour in found] == ["an acid", "a base", CAPTIONS[3]]


def test_a_first_block_is_left_out():
    queries = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    own = ["AAAAAAAAAAAAAA-Z", None, "BBBBBBBBBBBBBB"]
    assert named(make().find(queries, 1, own)) == [[KEYS[1]], [KEYS[1]], [KEYS[3]]]


def test_a_caption_is_left_out():
    (found,) = make().find(torch.tensor([[1.0, 0.0]]), 9, None, ["an acid"])
    assert [neighbour.caption for neighbour in found] == ["a base", CAPTIONS[3]]
    with pytest.raises(ValueError, match="1 InChIKeys and 2 captions to leave out for 2 molecules"):
        make().find(DIRECTIONS[:2], 1, ["AAAAAAAAAAAAAA"])


def test_what_is_unlike_is_less_similar_than_references_are_to_each_other():
    assert make(embeddings=DIRECTIONS[:1], captions=["x"], inchikeys=["A"]).min_similarity == -1
    # The nearest others of A, B, B, C, D, without their own first block: 0.8, 0.8, 0.8, 0.8, 0
    assert make(captions=list("vwxyz")).min_similarity == pytest.approx(np.quantile([0.8] * 4 + [0], 0.01), abs=1e-3)


def test_captions_are_not_repeated():
    (found,) = make().find(torch.tensor([[-1.0, 0.1]]), 9)
    assert [neighbour.caption for neighbour in found] == ["an acid", CAPTIONS[3], "another base"]


def test_neighbours_among_many_agree_with_numpy():
    generator = torch.Generator().manual_seed(0)
    references = torch.randn(700, 16, generator=generator).half()
    queries = torch.randn(600, 16, generator=generator)
    captions, keys = [f"caption {row}" for row in range(700)], [f"{row:014d}" for row in range(700)]
    found = make(embeddings=references, captions=captions, inchikeys=keys).find(queries, 3)
    stored = normalize(normalize(references.float(), dim=1).half().double(), dim=1).numpy()  # as saved
    cosines = normalize(queries.double(), dim=1).numpy() @ stored.T
    expected = np.sort(cosines, axis=1)[:, :-4:-1]
    similarities = [[neighbour.similarity for neighbour in row] for row in found]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)


def test_saved_references_are_the_same(tmp_path):
    references = make()
    references.save_pretrained(tmp_path)
    loaded = GeomCLIPReferences.from_pretrained(tmp_path)
    assert (loaded.captions, loaded.inchikeys, loaded.tower_sha256, len(loaded)) == (CAPTIONS, KEYS, "0", 5)
    assert torch.equal(loaded.embeddings, references.embeddings)
    (tmp_path / "references.jsonl").unlink()
    with pytest.raises(OSError, match=r"references\.jsonl"):
        GeomCLIPReferences.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"captions": CAPTIONS[1:]}, "5 embeddings, 4 captions and 5 InChIKeys; give one of each"),
        ({"captions": [*CAPTIONS[:2], " ", *CAPTIONS[3:]]}, "reference molecule 2 has no caption"),
        ({"inchikeys": [None, *KEYS[1:]]}, "reference molecule 0 has no InChIKey"),
        ({"embeddings": DIRECTIONS * torch.tensor([1.0, 1, 1, 0, 1])[:, None]}, "of reference molecule 3 is zero"),
        ({"embeddings": DIRECTIONS[:0], "captions": [], "inchikeys": []}, "there are no reference molecules"),
    ],
)
def test_faulty_references_are_refused(changes, fault):
    with pytest.raises(ValueError, match=fault):
        make(**changes)


def test_references_belong_to_the_tower_that_embedded_them(build_captioner, model):
    captioner, feature_extractor = build_captioner(), GeomCLIPFeatureExtractor()
    smiles = ["CO", "CCN", "c1ccccc1"]
    references = GeomCLIPReferences.from_molecules(
        captioner, feature_extractor, smiles, ["an alcohol", "an amine", "an arene"], KEYS[:3]
    )
    references.check_captioner(captioner)
    references.check_captioner(build_captioner("gpt2", prefix="none"))  # of the same GeomCLIP
    assert references.tower_sha256 == hash_geometry_side(model) == hash_geometry_side(captioner.bfloat16())
    torch.testing.assert_close(
        references.embeddings.float(), embed_molecules(model, feature_extractor, smiles), atol=1e-3, rtol=0
    )
    with torch.no_grad():
        captioner.geometry_projection.bias[0] += 1
    with pytest.raises(ValueError, match=r"but that of the captioner has .*; build them again"):
        references.check_captioner(captioner)
