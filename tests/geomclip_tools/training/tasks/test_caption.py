"""Captioning: settings, model, batches and saved files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModel, AutoTokenizer, LlamaConfig

from geomclip_tools.commands.train import parse_settings
from geomclip_tools.training.tasks.caption import Captioning, CaptionSettings, load_tokenizer
from geomclip_tools.training.trainer import group_parameters
from modeling_geomclip import GeomCLIPForCaptioning, read_molecule
from tests.geomclip_tools.training.tiny_decoder import save_decoder

BENT = [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.4, 0.0]]
ROWS = [
    {"smiles": "CO", "text": "an alcohol", "atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]]},
    {"smiles": "CCN", "text": "an amine, a base", "atomic_numbers": [6, 6, 7], "positions": BENT},
]


@pytest.fixture
def task_of(model, processor, tmp_path) -> Callable[..., Captioning]:
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    decoder = save_decoder(tmp_path / "decoder")

    def build(**settings) -> Captioning:
        given = {
            "model": str(tmp_path / "geomclip"),
            "decoder": str(decoder),
            "dataset": "d",
            "output_dir": str(tmp_path / "out"),
            "num_prefix_tokens": 3,
            "lora_rank": 2,
        }
        torch.manual_seed(7)
        return Captioning(CaptionSettings(**given | settings))

    return build


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# ----------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("missing", ["--model", "--decoder", "--dataset", "--output_dir"])
def test_what_must_be_given(missing, capsys):
    words = ["--model=m", "--decoder=l", "--dataset=d", "--output_dir=o"]
    assert parse_settings(["caption", *words]).decoder == "l"
    with pytest.raises(SystemExit):
        parse_settings(["caption", *(word for word in words if not word.startswith(missing))])
    assert missing in capsys.readouterr().err


def test_training_a_tower_that_is_not_read_is_refused(task_of):
    for geometry in ("lora", "full"):
        with pytest.raises(ValueError, match=f"--geometry {geometry} trains a tower that --prefix none does not read"):
            task_of(prefix="none", geometry=geometry)


def test_a_model_that_is_no_geomclip_is_refused(task_of, model, tmp_path):
    model.geometry_model.save_pretrained(tmp_path / "tower")
    with pytest.raises(ValueError, match="tower is a geomclip_geometry, which is not aligned with text"):
        task_of(model=str(tmp_path / "tower")).build()


# -------------------------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize("geometry", ["frozen", "lora", "full"])
def test_what_is_trained(task_of, geometry):
    model, _ = task_of(geometry=geometry).build()
    names = trained(model)
    of_tower = {name for name in names if name.startswith("geometry_model.")}
    if geometry == "full":
        copied = {name.partition(".modules_to_save.default.")[2] for name in of_tower}
        base = AutoModel.from_pretrained(Path(model.name_or_path))
        assert copied == {name for name, _ in base.geometry_model.named_parameters()}
    else:
        assert bool(of_tower) == (geometry == "lora")
        assert all("lora_" in name for name in of_tower)
    of_decoder = {name for name in names if name.startswith("decoder.")}
    assert of_decoder
    assert all("lora_" in name for name in of_decoder)
    assert {name.split(".")[0] for name in names - of_tower - of_decoder} == {"resampler", "projector"}


def test_without_a_prefix_the_decoder_alone_is_trained(task_of):
    task = task_of(prefix="none")
    model, processor = task.build()
    assert all(name.startswith("decoder.") for name in trained(model))
    batch = task.collate(processor, ROWS, 0)
    loss = task.forward(model, batch).loss
    elsewhere = task.collate(processor, [row | ROWS[1 - i] | {"text": row["text"]} for i, row in enumerate(ROWS)], 0)
    assert not torch.equal(elsewhere["positions"], batch["positions"])
    assert torch.equal(task.forward(model, elsewhere).loss, loss)


def test_settings_reach_model_and_processor(task_of):
    task = task_of(lora_alpha=8, lora_dropout=0.25, max_caption_tokens=5, prompt="It is", num_prefix_tokens=2)
    model, processor = task.build()
    (adapter,) = model.peft_config.values()
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout) == (2, 8, 0.25)
    assert model.generation_config.max_new_tokens == 5
    assert model.config.num_prefix_tokens == 2
    assert processor.prompt == "It is"
    labels = task.collate(processor, ROWS, 0)["labels"]
    assert (labels != -100).sum(dim=1).tolist() == [5, 5]  # truncated


def test_the_prefix_has_a_learning_rate_of_its_own(task_of):
    task = task_of(learning_rate=1e-4, prefix_learning_rate=1e-2, weight_decay=0.1, geometry="lora")
    model, _ = task.build()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = group_parameters(model, task)
    listed = {names[id(parameter)]: group for group in groups for parameter in group["params"]}
    assert listed.keys() == trained(model)
    for name, group in listed.items():
        assert group["lr"] == (1e-2 if name.startswith(("resampler.", "projector.")) else 1e-4), name
    assert {group["lr"] for group in groups} == {1e-2, 1e-4}
    assert task_of(learning_rate=1e-4).choose_learning_rate("resampler.queries") == 1e-4


# ------------------------------------------------------------------------------------------------------------- batches


def test_the_prompt_shows_the_smiles_and_nothing_else_does(task_of):
    for prompt, is_shown in (("SMILES: {smiles}. Describe:", True), ("Describe:", False)):
        task = task_of(prompt=prompt)
        _, processor = task.build()
        texts = processor.batch_decode(task.collate(processor, ROWS, 0)["input_ids"], skip_special_tokens=True)
        expected = [f"{prompt.replace('{smiles}', row['smiles'])} {row['text']}" for row in ROWS]
        assert [text.strip() for text in texts] == expected
        assert (ROWS[1]["smiles"] in texts[1]) == is_shown


def test_a_batch_has_the_loss_of_the_captions_tokens(task_of):
    task = task_of()
    model, processor = task.build()
    batch = task.collate(processor, ROWS, 0)
    assert (batch["labels"] != -100).sum(dim=1).tolist() == [len(" an alcohol") + 1, len(" an amine, a base") + 1]
    rows = [task.collate(processor, [row], 0) for row in ROWS]
    outputs = [task.forward(model.eval(), row) for row in (batch, *rows)]
    losses = [task.compute_losses(output, batch)["loss"] for output in outputs]
    assert losses[0].item() == pytest.approx((losses[1] * 12 + losses[2] * 18).item() / 30, rel=1e-5)


def test_validation_is_by_the_mean_loss_of_a_token(task_of):
    task = task_of()
    model, processor = task.build()
    score, metrics = task.validate(model, processor, Dataset.from_list(ROWS))
    expected = task.forward(model.eval(), task.collate(processor, ROWS, 0)).loss.item()
    assert metrics == {"caption_loss": pytest.approx(expected, rel=1e-5)}
    assert score == -metrics["caption_loss"]


# ---------------------------------------------------------------------------------------------------------- neighbours

# The first two rows have one first block, the last one has no InChIKey.
BLOCKS = ["A" * 14, "A" * 14, "B" * 14, "C" * 14, "D" * 14, None]
NAMES = ["CO", "CO", "CCN", "CCO", "CCCO", "CC"]
TRAINING = [
    {"row_id": 10 + place, "smiles": name, "text": f"caption {place}", "inchikey14": block, **read_molecule(name)}
    for place, (name, block) in enumerate(zip(NAMES, BLOCKS))
]


@pytest.fixture
def prepared(task_of, caplog) -> Callable[..., tuple]:
    def prepare(**settings) -> tuple:
        task = task_of(num_neighbours=2, **settings)
        model, processor = task.build()
        with caplog.at_level("WARNING", logger="geomclip"):
            task.prepare(model, Dataset.from_list(TRAINING))
        assert "1 of 6 training rows have no InChIKey and are not used as references" in caplog.text
        return task, model, processor

    return prepare


def test_no_caption_of_its_own_first_block_reaches_a_prompt(prepared):
    for seed in range(3):
        task, _, processor = prepared(neighbour_dropout=0.5, seed=seed)
        for epoch in range(20):
            for row in TRAINING:
                found = task.draw_neighbours(row, epoch)
                assert row["inchikey14"] not in {one.inchikey for one in found}
                assert row["inchikey14"] or not found
                batch = task.collate(processor, [row], epoch)
                prompt = processor.decode(batch["input_ids"][0][batch["labels"][0] == -100])
                assert row["text"] not in prompt
                if row["inchikey14"] == "A" * 14:
                    assert "caption 0" not in prompt
                    assert "caption 1" not in prompt


def test_neighbours_are_passed_over_at_random_but_the_same_ones_again(prepared):
    task, _, _ = prepared(neighbour_dropout=0.5)
    draws = {epoch: [task.draw_neighbours(row, epoch) for row in TRAINING] for epoch in range(10)}
    assert draws == {epoch: [task.draw_neighbours(row, epoch) for row in TRAINING] for epoch in range(10)}
    assert len({str(drawn) for drawn in draws.values()}) > 5
    for drawn in draws.values():
        for row, found in zip(TRAINING, drawn):
            nearest = [one for one in task.neighbours[row["row_id"]] if one in found]
            assert found == nearest  # in the order of similarity
            assert len(found) <= 2
    task, _, _ = prepared(neighbour_dropout=0.0)
    assert all(task.draw_neighbours(row, 0) == task.neighbours[row["row_id"]][:2] for row in TRAINING)


def test_validation_reads_the_nearest_training_captions(prepared):
    task, model, processor = prepared()
    rows = [{"text": "an ether", "inchikey14": "C" * 14, **read_molecule("CCO")}]
    _, metrics = task.validate(model, processor, Dataset.from_list(rows))
    found = processor.find_neighbours(model, [rows[0]], left_out=["C" * 14])
    assert "C" * 14 not in {one.inchikey for one in found[0]}
    batch = processor([rows[0]], ["an ether"], neighbours=found, return_tensors="pt")
    assert metrics["caption_loss"] == pytest.approx(model.eval()(**batch).loss.item(), rel=1e-5)


def test_lengths_include_the_neighbours(prepared):
    rows = Dataset.from_list(TRAINING)
    for longest in (3, 96):
        task, _, processor = prepared(max_neighbour_tokens=longest)
        tokens = len(processor.decoder_tokenizer("caption 0", add_special_tokens=False)["input_ids"])
        assert task.measure_lengths(rows) == [tokens + 2 * min(tokens, longest)] * 5 + [tokens]  # which has no InChIKey


def test_inputs_that_do_not_fit_the_decoder_are_refused(task_of):
    with pytest.raises(ValueError, match=r"an input may need \d+ tokens, but the decoder has \d+ positions; reduce"):
        task_of(num_neighbours=9, max_neighbour_tokens=1000).build()


def test_training_rows_without_any_inchikey_have_no_references(task_of):
    task = task_of(num_neighbours=2)
    model, _ = task.build()
    with pytest.raises(ValueError, match="no training row has an InChIKey; add a column inchikey or smiles"):
        task.prepare(model, Dataset.from_list(TRAINING[-1:]))


def test_a_trained_tower_and_neighbours_exclude_each_other(task_of):
    with pytest.raises(ValueError, match="trains the tower that finds the 2 neighbours"):
        task_of(num_neighbours=2, geometry="full")
    for settings, fault in (
        ({"neighbour_dropout": 1.0}, "--neighbour_dropout is 1.0"),
        ({"decoder_dtype": "int8"}, "'int8'"),
    ):
        with pytest.raises(ValueError, match=fault):
            task_of(**settings)


def test_a_bfloat16_decoder_has_a_float32_adapter(task_of):
    model, _ = task_of(decoder_dtype="bfloat16", lora_layers=["q_proj", "v_proj"]).build()
    dtypes = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if name in trained(model)} == {torch.float32}
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained(model) if ".lora_" in name}
    assert layers == {"q_proj", "v_proj"}
    with pytest.raises(ValueError, match=r"the decoder has no linear layers \['wq'\]; it has \['down_proj', "):
        task_of(lora_layers=["wq"]).build()


@pytest.mark.slow  # a minute: the compiler
@pytest.mark.filterwarnings("ignore")  # of the compiler about torch itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: apt-get install g++")
def test_compiled_layers_have_the_same_losses_and_names(task_of):
    losses, names = [], []
    for torch_compile in (False, True):
        task = task_of(torch_compile=torch_compile)
        model, processor = task.build()
        outputs = [task.forward(model.eval(), task.collate(processor, rows, 0)) for rows in (ROWS, ROWS[:1])]
        outputs[0].loss.backward()
        losses.append([output.loss.item() for output in outputs])
        names.append(list(model.state_dict()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert names[0] == names[1]


# ----------------------------------------------------------------------------------------------------------- tokenizer


def test_the_end_of_sequence_may_stand_in_the_configuration_only(tmp_path):
    """As for Galactica."""
    folder = save_decoder(tmp_path / "decoder")
    assert load_tokenizer(str(folder)).eos_token == "</s>"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": None}))
    assert AutoTokenizer.from_pretrained(folder).eos_token is None
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("</s>", 1)
    for eos_token_id in (None, [1, 2]):
        LlamaConfig(eos_token_id=eos_token_id).save_pretrained(folder)
        with pytest.raises(ValueError, match=r"configuration of .*decoder has one end-of-sequence token"):
            load_tokenizer(str(folder))


# ------------------------------------------------------------------------------------------------------------ on disk


def written_at(base: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in base.iterdir()}


def test_the_base_is_written_once_and_not_again_on_resume(task_of, tmp_path):
    task_of(resume=True).build()  # nothing to resume
    first = written_at(tmp_path / "out" / "base")
    (tmp_path / "out" / "states" / "step_3").mkdir(parents=True)
    task_of(resume=True).build()
    assert written_at(tmp_path / "out" / "base") == first
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["base", "states"]
    task_of().build()
    assert written_at(tmp_path / "out" / "base") != first


def test_a_base_of_another_run_is_replaced_when_no_state_is_left(task_of, tmp_path):
    other = str(save_decoder(tmp_path / "other", seed=6))
    task_of(decoder=other).build()
    model, _ = task_of(resume=True).build()
    base = AutoModel.from_pretrained(tmp_path / "out" / "base")
    weight = model.get_input_embeddings().weight
    assert torch.equal(base.get_input_embeddings().weight, weight)


def test_adapters_name_the_base_from_where_they_lie(task_of, tmp_path):
    task = task_of()
    model, processor = task.build()
    with torch.no_grad():
        for name in trained(model):
            model.get_parameter(name).add_(0.1)
    batch = task.collate(processor, ROWS, 0)
    expected = task.forward(model.eval(), batch).logits
    out, moved = tmp_path / "out", tmp_path / "moved"
    for folder, base in ((out, "base"), (out / "last", "../base")):
        task.save(model, folder / "partial", folder)
        for item in (folder / "partial").iterdir():
            item.replace(folder / item.name)
        for file, key in (("config.json", "base_model"), ("adapter_config.json", "base_model_name_or_path")):
            assert json.loads((folder / file).read_text())[key] == base
        assert not (folder / "model.safetensors").exists()
    shutil.move(out, moved)
    for folder in (moved, moved / "last"):
        loaded = AutoModel.from_pretrained(folder)
        assert isinstance(loaded, GeomCLIPForCaptioning)
        torch.testing.assert_close(task.forward(loaded.eval(), batch).logits, expected)
