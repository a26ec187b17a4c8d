"""`geomclip caption` writes the captions of the model."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from geomclip_tools.commands.caption import main
from geomclip_tools.commands.references import build_references
from geomclip_tools.evaluation.caption_consensus import measure_consensus
from geomclip_tools.loading import load_captioner
from modeling_geomclip import (
    GeomCLIPCaptioningProcessor,
    GeomCLIPForCaptioning,
    GeomCLIPReferences,
    embed_molecules,
    embed_texts,
)
from tests.geomclip_tools.training.tiny_decoder import save_decoder


@pytest.fixture
def save(model, processor, tmp_path):
    """Save a captioner with a prompt."""
    decoder = save_decoder(tmp_path / "decoder")

    def save(prompt: str, **settings) -> Path:
        torch.manual_seed(1)
        captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), num_prefix_tokens=3)
        captioner.save_pretrained(tmp_path / "captioner")
        tokenizer = AutoTokenizer.from_pretrained(decoder)
        processor_of_it = GeomCLIPCaptioningProcessor(processor.feature_extractor, tokenizer, prompt, **settings)
        processor_of_it.save_pretrained(tmp_path / "captioner")
        return tmp_path / "captioner"

    return save


@pytest.mark.parametrize("prompt", ["Describe:", "{smiles}:"])
def test_captions_of_a_list(save, tmp_path, prompt):
    folder, smiles = save(prompt), ["CCO", "CCCCN", "C1CC", "CO"]
    (tmp_path / "in.smi").write_text("\n".join(smiles))
    words = ["--model", str(folder), "--molecules", str(tmp_path / "in.smi"), "--max-new-tokens", "6"]
    main([*words, "--output", str(tmp_path / "out.csv"), "--batch_size", "2"])
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    model = GeomCLIPForCaptioning.from_pretrained(folder).eval()
    processor = GeomCLIPCaptioningProcessor.from_pretrained(folder)
    expected = []
    for molecule in ("CCO", "CCCCN", "CO"):
        texts = {"smiles": [molecule]} if "{smiles}" in prompt else {}
        inputs = processor([molecule], **texts, return_tensors="pt")
        expected += processor.decode_captions(model.generate(**inputs, max_new_tokens=6, do_sample=False))
    assert table["caption"].tolist() == expected
    assert table["row"].tolist() == [0, 1, 3]


KNOWN = "smiles,text\nCCO,an alcohol\nCCN,an amine\nc1ccccc1,an arene\n"


def test_neighbours_from_a_table(save, tmp_path):
    folder = save("Describe:", num_neighbours=2)
    (tmp_path / "known.csv").write_text(KNOWN)
    words = ["--model", str(folder), "--molecules", "CCO", "CCCN", "--max_new_tokens", "6"]
    words += ["--output", str(tmp_path / "out.jsonl")]
    with pytest.raises(ValueError, match="there are no references to find them in"):
        main(words)
    main([*words, "--references", str(tmp_path / "known.csv")])
    table = pd.read_json(tmp_path / "out.jsonl", lines=True)
    neighbours = table["neighbours"].tolist()
    assert [len(found) for found in neighbours] == [2, 2]
    assert neighbours[0][0]["caption"] == "an alcohol"
    assert neighbours[0][0]["inchikey"] == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert neighbours[0][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert (table["score"] < 0).all()


@pytest.mark.parametrize("more", [[], ["--num_drafts", "2"]])
def test_a_molecule_unlike_all_references_gets_no_invented_caption(save, tmp_path, monkeypatch, capsys, more):
    monkeypatch.setattr(GeomCLIPReferences, "min_similarity", 0.9999)
    folder = save("Describe:", num_neighbours=1)
    (tmp_path / "known.csv").write_text(KNOWN)
    words = ["--model", str(folder), "--molecules", "CCO", "CCCS", "--references", str(tmp_path / "known.csv")]
    main([*words, "--output", str(tmp_path / "out.csv"), "--max_new_tokens", "6", *more])
    assert capsys.readouterr().out.endswith(
        "wrote 1 caption to " + str(tmp_path / "out.csv; 1 molecule unlike the references\n")
    )
    table = pd.read_csv(tmp_path / "out.csv")
    assert (table["caption"] == "unlike the reference molecules").tolist() == [False, True]
    assert table["score"].isna().tolist() == [False, True]
    assert table["copied_from"].isna()[1]
    assert json.loads(table["neighbours"][1])[0]["similarity"] < 0.9999


def test_a_geomclip_chooses_among_candidates(save, model, processor, tmp_path):
    folder = save("Describe:")
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    words = ["--model", str(folder), "--molecules", "CCO", "c1ccccc1", "CCCCN", "--max_new_tokens", "6"]
    words += ["--output", str(tmp_path / "out.csv")]
    with pytest.raises(ValueError, match="--similarity_weight needs a GeomCLIP that measures the similarity"):
        main([*words, "--num_drafts", "2", "--similarity_weight", "0.2"])
    with pytest.raises(ValueError, match="pass --num_drafts"):
        main([*words, "--geomclip", str(tmp_path / "geomclip")])
    with pytest.raises(ValueError, match="pass --num_drafts"):
        main([*words, "--draft_weight", "0.5"])
    with pytest.raises(ValueError, match="--num_drafts is 0; it must be at least 1"):
        main([*words, "--num_drafts", "0"])
    with pytest.raises(ValueError, match="was trained with num_neighbours=0 and reads no references"):
        main([*words, "--references", "known.csv"])
    chosen = {}
    for weight in (1000, -1000):
        choice = ["--num_drafts", "3", "--similarity_weight", str(weight), "--agreement_weight", "0"]
        main([*words, "--geomclip", str(tmp_path / "geomclip"), *choice])
        chosen[weight] = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)["caption"].tolist()
    geometry = embed_molecules(model, processor, ["CCO", "c1ccccc1", "CCCCN"])
    best, worst = ((embed_texts(model, processor, chosen[weight]) * geometry).sum(dim=1) for weight in (1000, -1000))
    assert (best >= worst).all()
    assert (best > worst).any()


@pytest.mark.parametrize("num_drafts", [1, 3])
def test_the_best_of_drafts_and_captions_of_references(save, tmp_path, num_drafts):
    folder = save("Describe:", num_neighbours=1)
    (tmp_path / "known.csv").write_text(KNOWN)
    words = ["--model", str(folder), "--molecules", "CCO", "c1ccccc1", "--references", str(tmp_path / "known.csv")]
    words += ["--output", str(tmp_path / "out.csv"), "--max_new_tokens", "6", "--num_drafts", str(num_drafts)]
    tables = {}
    for weight in (0, 1000):
        main([*words, "--agreement_weight", "0", "--draft_weight", str(weight)])
        tables[weight] = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert tables[0]["caption"].tolist() == ["an alcohol", "an arene"]
    assert tables[0]["copied_from"].tolist() == ["LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "UHOVQNZJYSORNB-UHFFFAOYSA-N"]
    assert (tables[1000]["copied_from"] == "").all()
    model, processor = load_captioner(str(folder))
    processor.references = build_references(model, processor, str(tmp_path / "known.csv"), "utf-8")
    neighbours = processor.find_neighbours(model, ["CCO", "c1ccccc1"])
    given = {"captions": tables[0]["caption"].tolist(), "neighbours": neighbours, "return_tensors": "pt"}
    outputs = model(**processor(["CCO", "c1ccccc1"], **given))
    expected = (-outputs.caption_losses / outputs.num_tokens).tolist()
    assert tables[0]["score"].tolist() == pytest.approx(expected, abs=1e-4)


def test_a_prompt_with_smiles_needs_them(save, tmp_path):
    folder = save("{smiles}:")
    (tmp_path / "water.xyz").write_text("3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    with pytest.raises(
        ValueError, match="prompt contains the SMILES, which is missing for 1 molecule, the first in row 1"
    ):
        main(
            [
                "--model",
                str(folder),
                "--molecules",
                "CO",
                str(tmp_path / "water.xyz"),
                "--output",
                str(tmp_path / "o.csv"),
            ]
        )


@pytest.fixture
def geomclip(model, processor, tmp_path) -> str:
    """The folder of a GeomCLIP."""
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    return str(tmp_path / "geomclip")


def test_a_geomclip_copies_the_captions_of_references(geomclip, model, processor, tmp_path, monkeypatch):
    (tmp_path / "known.csv").write_text(KNOWN + "CCOC,an ether with an alcohol\nCCCO,an alcohol\n")
    molecules = ["CCO", "C1CC", "CCCCO"]
    words = ["--model", geomclip, "--molecules", *molecules, "--output", str(tmp_path / "out.csv")]
    words += ["--references", str(tmp_path / "known.csv")]
    for similarity_weight in (0, 1000):
        main([*words, "--similarity_weight", str(similarity_weight)])
        table = pd.read_csv(tmp_path / "out.csv")
        references = build_references(model, processor, str(tmp_path / "known.csv"))
        embeddings = embed_molecules(model, processor, ["CCO", "CCCCO"])
        found, captions = references.find(embeddings, 30), list(dict.fromkeys(references.captions))
        cosines = embeddings @ embed_texts(model, processor, captions).T
        expected = [
            max(
                captions,
                key=lambda caption: (
                    measure_consensus([caption], near)[0]
                    + similarity_weight * float(cosines[row, captions.index(caption)])
                ),
            )
            for row, near in enumerate(found)
        ]
        assert table["caption"].tolist() == expected
        assert table["row"].tolist() == [0, 2]
        assert table["score"].isna().all()
        assert table["score"].dtype == float
        sources = [next(one.inchikey for one in near if one.caption == text) for near, text in zip(found, expected)]
        assert table["copied_from"].tolist() == sources
        assert [json.loads(told)[0]["caption"] for told in table["neighbours"]] == [near[0].caption for near in found]
    monkeypatch.setattr(GeomCLIPReferences, "min_similarity", 0.9999)
    main(words)
    table = pd.read_csv(tmp_path / "out.csv")
    assert (table["caption"] == "unlike the reference molecules").tolist() == [False, True]
    assert table["copied_from"].isna().tolist() == [False, True]


def test_the_source_of_a_copied_caption_is_among_the_neighbours(geomclip, tmp_path, monkeypatch):
    smiles = ["CCO", "CCN", "CCCO", "CCCN", "CCCCO", "CCCCN", "c1ccccc1", "CC(=O)O"]
    rows = [f"{one},molecule {place}\n" for place, one in enumerate(smiles)]
    (tmp_path / "known.csv").write_text("smiles,text\n" + "".join(rows))
    monkeypatch.setattr("geomclip_tools.commands.caption.choose", lambda *given: [near[6].caption for near in given[3]])
    words = ["--model", geomclip, "--references", str(tmp_path / "known.csv"), "--output", str(tmp_path / "out.csv")]
    main([*words, "--molecules", "CCO", "CCOC"])
    table = pd.read_csv(tmp_path / "out.csv")
    for caption, source, told in zip(table["caption"], table["copied_from"], table["neighbours"]):
        neighbours = json.loads(told)
        assert len(neighbours) == 6
        assert (neighbours[-1]["caption"], neighbours[-1]["inchikey"]) == (caption, source)
        similarities = [neighbour["similarity"] for neighbour in neighbours]
        assert similarities == sorted(similarities, reverse=True)


def test_a_geomclip_needs_references_and_no_settings_of_captioners(geomclip):
    words = ["--model", geomclip, "--molecules", "CO", "--output", "o.csv"]
    with pytest.raises(ValueError, match="is a GeomCLIP, which copies captions; pass --references, a table of"):
        main(words)
    with pytest.raises(ValueError, match="which does not use --num_drafts, --num_beams; omit these flags"):
        main([*words, "--references", "known.csv", "--num_drafts", "2", "--num_beams", "2"])


def test_another_model_is_refused(model, tmp_path):
    model.geometry_model.save_pretrained(tmp_path / "tower")
    with pytest.raises(
        ValueError, match="is a geomclip_geometry, which makes no captions; pass a GeomCLIP or a captioner"
    ):
        main(["--model", str(tmp_path / "tower"), "--molecules", "CO", "--output", "o.csv"])
