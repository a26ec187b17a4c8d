"""Batched captions and losses agree with one row at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from dataset_pubchem3d.pairs import find_first_block
from geomclip_tools.evaluation.caption_drafts import DraftFile
from geomclip_tools.evaluation.caption_generation import (
    compare_geometries,
    compute_caption_losses,
    find_other_molecules,
    generate_drafts,
    list_prompt_inputs,
    order_by_length,
)
from modeling_geomclip import (
    GeomCLIPCaptioningProcessor,
    GeomCLIPFeatureExtractor,
    GeomCLIPForCaptioning,
    GeomCLIPReferences,
    Neighbour,
)
from tests.geomclip_tools.training.tiny_decoder import save_decoder

# Unsorted molecules of different sizes; the second has coordinates.
ROWS = [
    {"smiles": "c1ccccc1O", "text": "a phenol"},
    {"smiles": "CO", "text": "the smallest alcohol", "atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]]},
    {"smiles": "CC(=O)NC", "text": "it is an amide"},
    {"smiles": "CCN", "text": "an amine; a base"},
    {"smiles": "C[C@H](O)N", "text": "chiral"},
]
CAPTIONS = [row["text"] for row in ROWS]
NOTHING = {}  # that a prompt needs besides the geometry


@pytest.fixture
def build(model, tmp_path) -> Callable[..., tuple[GeomCLIPForCaptioning, GeomCLIPCaptioningProcessor]]:
    """Build a captioner whose LoRA has dropout and non-zero weights."""
    decoder = save_decoder(tmp_path / "decoder")

    def build(prompt: str = "Describe:", **shape) -> tuple[GeomCLIPForCaptioning, GeomCLIPCaptioningProcessor]:
        torch.manual_seed(3)
        shape = {"num_prefix_tokens": 3} | shape
        captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), **shape)
        captioner.add_adapter(captioner.lora_config(r=2, lora_dropout=0.5))
        with torch.no_grad():
            for parameter in captioner.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn_like(parameter))
        tokenizer = AutoTokenizer.from_pretrained(decoder)
        return captioner.eval(), GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), tokenizer, prompt)

    return build


@torch.no_grad()
def loss_of_row(model, processor, row: dict, caption: str, shown: dict) -> tuple[float, int]:
    """Return the model's own loss, summed over the tokens of one caption, and the number of tokens."""
    molecule = shown if "positions" in shown else shown["smiles"]
    outputs = model(**processor([molecule], captions=[caption], smiles=[row["smiles"]], return_tensors="pt"))
    (num_tokens,) = outputs.num_tokens.tolist()
    return outputs.loss.item() * num_tokens, num_tokens


@pytest.mark.parametrize(
    ("prompt", "prefix"),
    [("Describe:", "resampler"), ("{smiles} is", "atoms"), ("Describe:", "none"), ("", "atoms"), ("", "pooled")],
)
def test_losses_are_those_of_the_model_on_single_rows(build, prompt, prefix):
    model, processor = build(prompt, prefix=prefix)
    shown = ROWS[1:] + ROWS[:1]
    for others in (None, shown):
        expected = [loss_of_row(model, processor, *each) for each in zip(ROWS, CAPTIONS, others or ROWS, strict=True)]
        prompt_inputs = list_prompt_inputs(model, processor, ROWS)
        for batch_size in (1, 2, 5, 100):
            totals, counts = compute_caption_losses(model, processor, ROWS, CAPTIONS, batch_size, prompt_inputs, others)
            assert totals == pytest.approx([total for total, _ in expected], rel=1e-4)
            assert counts.tolist() == [count for _, count in expected]


def test_without_prompt_and_prefix_the_first_token_is_not_expected_of_anybody(build):
    model, processor = build("", prefix="none")
    totals, counts = compute_caption_losses(model, processor, ROWS[:1], CAPTIONS[:1], 1, NOTHING)
    assert counts.tolist() == [len(" a phenol")]  # including the end token, without the first token
    assert totals[0] == pytest.approx(loss_of_row(model, processor, ROWS[0], CAPTIONS[0], ROWS[0])[0], rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_kept_and_dropout_is_off(build, training):
    model, processor = build()
    expected, _ = compute_caption_losses(model, processor, ROWS, CAPTIONS, 2, NOTHING)
    totals, _ = compute_caption_losses(model.train(training), processor, ROWS, CAPTIONS, 2, NOTHING)
    assert model.training is training
    assert totals == pytest.approx(expected, rel=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_other_molecule_is_the_next_larger_one_and_of_the_largest_the_smallest():
    rows = [{"smiles": smiles} for smiles in ("CCCCCC", "C", "CCCC", "CC", "CCCCC")]
    assert find_other_molecules(rows) == [1, 3, 4, 2, 0]
    sized = [row | {"atomic_numbers": [6] * size} for row, size in zip(rows, (1, 5, 2, 4, 3))]
    assert find_other_molecules(sized) == [2, 0, 4, 1, 3]  # atoms take precedence over the length of the SMILES


def test_the_other_molecule_has_another_first_block():
    same = [{"smiles": "C[C@H](N)O"}, {"smiles": "C[C@@H](N)O"}, {"smiles": "CCCCCCCCCCCCC"}]  # mirror images
    assert find_other_molecules(same) == [2, 2, 0]
    named = [{"smiles": "C", "inchikey": f"{'A' * 14}-X"}, {"smiles": "CC", "inchikey14": "B" * 14}]
    assert find_other_molecules(named) == [1, 0]
    with pytest.raises(ValueError, match="all rows have the same molecule"):
        find_other_molecules(same[:2])


def test_captions_are_in_the_order_of_the_rows_whatever_the_batch(build):
    model, processor = build("{smiles}:")
    search = {"max_new_tokens": 12, "do_sample": False}

    def generate(rows: list[dict], batch_size: int, **changes) -> list[str]:
        prompt_inputs = list_prompt_inputs(model, processor, rows)
        made = generate_drafts(model, processor, rows, batch_size, prompt_inputs, **search | changes)
        return [caption for (caption,) in made.captions]

    expected = [generate([row], 1)[0] for row in ROWS]
    assert len(set(expected)) == len(ROWS)
    for batch_size in (2, 5, 100):
        assert generate(ROWS, batch_size) == expected
    assert generate(ROWS[::-1], 2) == expected[::-1]
    shorter = generate(ROWS, 2, max_new_tokens=2)
    assert max(map(len, shorter)) <= 2 < min(map(len, expected))


@pytest.mark.parametrize("leave_own_out", [True, False])
def test_neighbours_with_the_same_first_block_are_left_out_in_evaluation(build, leave_own_out):
    model, processor = build()
    processor.num_neighbours = 2
    mirrored = ["OC1=CC=CC=C1", "OC", "CNC(C)=O", "NCC", "C[C@@H](O)N"]  # other SMILES, and the mirror image
    references = [{"smiles": smiles, "text": text} for smiles, text in zip(mirrored, CAPTIONS)]
    blocks = [find_first_block(row) for row in references]
    smiles = [row["smiles"] for row in references]
    processor.references = GeomCLIPReferences.from_molecules(model, processor, smiles, CAPTIONS, blocks)
    inputs = list_prompt_inputs(model, processor, ROWS, leave_own_out)
    own = [row["text"] in [neighbour.caption for neighbour in found] for row, found in zip(ROWS, inputs["neighbours"])]
    assert not any(own) if leave_own_out else all(own)
    assert all(len(found) == 2 for found in inputs["neighbours"])
    search = {"max_new_tokens": 12, "do_sample": False}
    alone = [
        generate_drafts(
            model, processor, [row], 1, list_prompt_inputs(model, processor, [row], leave_own_out), **search
        )
        for row in ROWS
    ]
    together = generate_drafts(model, processor, ROWS, 5, inputs, **search)
    assert together.captions == [made.captions[0] for made in alone]


def write_prompts(rows: dict, model, processor, leave_own_out: bool) -> dict:
    """Write the prompts of a batch, as a user of `datasets.Dataset.map` does."""
    rows = [dict(zip(rows, values)) for values in zip(*rows.values())]
    inputs = list_prompt_inputs(model, processor, rows, leave_own_out)
    return {"prompt": processor.batch_decode(processor([row["smiles"] for row in rows], **inputs)["input_ids"])}


def test_cached_maps_hold_no_caption_of_the_molecule_itself(build, tmp_path):
    model, processor = build()
    processor.num_neighbours = 2
    columns = {"smiles": [row["smiles"] for row in ROWS], "text": CAPTIONS}
    Dataset.from_dict(columns).save_to_disk(tmp_path / "rows")
    rows, blocks = Dataset.load_from_disk(tmp_path / "rows"), [find_first_block(row) for row in ROWS]

    def write(captions: list[str], **settings) -> Dataset:
        references = GeomCLIPReferences.from_molecules(model, processor, columns["smiles"], captions, blocks)
        processor.references = references
        given = {"model": model, "processor": processor, "leave_own_out": True} | settings
        return rows.map(write_prompts, batched=True, fn_kwargs=given)

    assert all(row["text"] in row["prompt"] for row in write(CAPTIONS, leave_own_out=False))
    kept_out = write(CAPTIONS)  # although the cache has prompts of the same rows with their own captions
    assert not any(row["text"] in row["prompt"] for row in kept_out)
    assert all(sum(caption in row["prompt"] for caption in CAPTIONS) == 2 for row in kept_out)
    assert write(CAPTIONS)._fingerprint == kept_out._fingerprint
    others = write([f"other caption {number}" for number in range(len(ROWS))])  # references are part of the cache's key
    assert all(f"other caption {number}" not in row["prompt"] for number, row in enumerate(others))
    assert all(row["prompt"].count("other caption") == 2 for row in others)


def test_an_interrupted_generation_continues(build, tmp_path, monkeypatch):
    model, processor = build()
    search, generate, calls = {"max_new_tokens": 8, "do_sample": False}, type(model).generate, []
    expected = generate_drafts(model, processor, ROWS, 2, NOTHING, 2, **search)

    def interrupt(self, **given):
        calls.append(len(given["atom_ids"]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(self, **given)

    monkeypatch.setattr(type(model), "generate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_drafts(model, processor, ROWS, 2, NOTHING, 2, DraftFile(tmp_path / "drafts.jsonl", {}), **search)
    found = generate_drafts(model, processor, ROWS, 2, NOTHING, 2, DraftFile(tmp_path / "drafts.jsonl", {}), **search)
    assert calls == [2, 2, 1, 1]
    assert found.captions == expected.captions
    assert found.likelihoods == [pytest.approx(scores) for scores in expected.likelihoods]


def test_neighbours_with_long_captions_come_last():
    far = [Neighbour("A", 0.5, "a" * length) for length in (5, 1, 9)]
    rows = [{"smiles": "CCC"}, {"smiles": "CC"}, {"smiles": "C"}]
    assert order_by_length(rows, {"neighbours": [[far[0]], [far[1], far[2]], [far[1]]]}) == [2, 0, 1]
    assert order_by_length(rows, {"neighbours": [[], [], [far[1]]]}) == [1, 0, 2]
    assert order_by_length(rows, NOTHING) == [2, 1, 0]


def test_candidates_are_the_best_beams_with_their_likelihoods(build):
    model, processor = build()
    search = {"max_new_tokens": 8, "do_sample": False}
    found = generate_drafts(model, processor, ROWS, 2, NOTHING, 3, **search)
    beams = {"num_beams": 3, "num_return_sequences": 3, "output_scores": True, "return_dict_in_generate": True}
    for row, captions, likelihoods in zip(ROWS, found.captions, found.likelihoods, strict=True):
        molecule = row if "positions" in row else row["smiles"]
        made = model.generate(**processor([molecule], return_tensors="pt"), **search, **beams)
        assert captions == processor.decode_captions(made.sequences)
        assert likelihoods == pytest.approx(made.sequences_scores.tolist(), abs=1e-3)


def test_the_comparison_is_of_means_over_rows(build):
    model, processor = build()
    others = [ROWS[index] for index in find_other_molecules(ROWS)]
    right = np.array([np.divide(*loss_of_row(model, processor, row, row["text"], row)) for row in ROWS])
    wrong = np.array([np.divide(*loss_of_row(model, processor, row, row["text"], o)) for row, o in zip(ROWS, others)])
    found = compare_geometries(model, processor, ROWS, 2, NOTHING, num_bootstrap=200, seed=0)
    assert found["right_geometry"] == pytest.approx(right.mean(), rel=1e-4)
    assert found["other_geometry"] == pytest.approx(wrong.mean(), rel=1e-4)
    assert found["difference"] == pytest.approx((wrong - right).mean(), abs=1e-4)
    assert found["share_of_rows_better"] == (right < wrong).mean()
    assert found["difference_low"] < found["difference"] < found["difference_high"]
    without = compare_geometries(model, processor, ROWS, 2, NOTHING, num_bootstrap=0, seed=0)
    assert without["difference_low"] is without["difference_high"] is None
