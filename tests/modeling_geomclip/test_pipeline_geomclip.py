"""The captioning pipeline gives the captions of model and processor, for molecules in any form and batch."""

import copy
import json
import os
import shutil
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, pipeline

from modeling_geomclip import (
    GeomCLIPCaptioningProcessor,
    GeomCLIPFeatureExtractor,
    GeomCLIPForCaptioning,
    GeomCLIPReferences,
    MoleculeCaptioningPipeline,
    MoleculeError,
    read_molecule,
)

MOLECULES = ["CCO", "c1ccccc1Cl", "CC(=O)Oc1ccccc1C(=O)O", "C", "NCCS"]
GREEDY = {"max_new_tokens": 12, "do_sample": False}
END = "</s>"

WITHOUT_THE_PACKAGE = """
import json, sys
from transformers import pipeline
captions = {}
for folder in sys.argv[1:]:
    captioner = pipeline(model=folder, trust_remote_code=True)
    assert type(captioner).__module__.startswith("transformers_modules.")
    captions[folder] = captioner(["CCO", "c1ccccc1Cl"], batch_size=2, max_new_tokens=12)
assert "modeling_geomclip" not in sys.modules
print(json.dumps(captions))
"""


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character, an end token and no padding token."""
    characters = [*string.ascii_letters, *string.digits, *string.punctuation, "Ġ"]  # Ġ is the space
    vocabulary = {token: index for index, token in enumerate([END, *characters])}
    characterwise = Tokenizer(models.BPE(vocabulary, []))
    characterwise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    characterwise.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=characterwise, eos_token=END)


@pytest.fixture
def captioner(model, tokenizer) -> GeomCLIPForCaptioning:
    """A captioner with weights so large that captions differ between molecules."""
    torch.manual_seed(6)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}
    decoder = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.3, **shape, **ends))
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(
        model, decoder, num_prefix_tokens=4, resampler_num_heads=4
    )
    randomise(captioner, "resampler", "projector")
    return captioner.eval()


@pytest.fixture
def processor(tokenizer) -> GeomCLIPCaptioningProcessor:
    return GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), tokenizer)


@pytest.fixture
def pipe(captioner, processor) -> MoleculeCaptioningPipeline:
    return pipeline("molecule-captioning", model=captioner, processor=processor, device="cpu")


@pytest.fixture
def mol() -> Chem.Mol:
    """2-Chloropropan-1-ol, stretched so that its geometry is not what the processor would make of the SMILES."""
    mol = Chem.AddHs(Chem.MolFromSmiles("CC(Cl)CO"))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    mol.GetConformer().SetPositions(1.5 * mol.GetConformer().GetPositions())
    return mol


def arrays(mol: Chem.Mol) -> dict[str, np.ndarray]:
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    return {"atomic_numbers": numbers, "positions": mol.GetConformer().GetPositions()}


@torch.no_grad()
def randomise(model: torch.nn.Module, *names: str) -> None:
    for name, parameter in model.named_parameters():
        if any(part in name for part in names):
            parameter.normal_(0, 0.3)


def by_hand(pipe, molecules, smiles=None, **settings) -> list[str]:
    """Return the captions of model and processor."""
    batch = pipe.processor(molecules, smiles=smiles, return_tensors="pt")
    return pipe.processor.decode_captions(pipe.model.generate(**batch, **(GREEDY | settings)))


def texts(captions: list[dict[str, str]]) -> list[str]:
    return [caption["caption"] for caption in captions]


def rounded(found: list[list[dict]]) -> list:
    """Return captions, scores and neighbours; scores depend on the batch in their last digits."""
    return [
        (caption["caption"], round(caption["score"], 2), [each["inchikey"] for each in caption["neighbours"]])
        for (caption,) in found
    ]


# ------------------------------------------------------------------------------------------------ molecules and batches


def test_one_molecule(pipe):
    captions = pipe("NCCS", **GREEDY)
    assert texts(captions) == by_hand(pipe, "NCCS")
    assert len(captions[0]["caption"]) > 3
    assert captions[0]["neighbours"] == []


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 0), (8, 0), (3, 2)])
def test_batches_of_unequal_molecules_equal_single_runs(pipe, batch_size, num_workers):
    single = [by_hand(pipe, molecule) for molecule in MOLECULES]
    assert len({caption for (caption,) in single}) == len(MOLECULES)
    batched = pipe(MOLECULES, batch_size=batch_size, num_workers=num_workers, **GREEDY)
    assert [texts(captions) for captions in batched] == single


def test_every_form_of_a_molecule(pipe, mol, tmp_path):
    path = tmp_path / "molecule.sdf"
    Chem.MolToMolFile(mol, str(path))
    mol = Chem.MolFromMolFile(str(path), removeHs=False)  # coordinates as the file rounds them
    expected = by_hand(pipe, arrays(mol))
    assert expected != by_hand(pipe, Chem.MolToSmiles(Chem.RemoveHs(mol)))
    forms = [str(path), path, path.read_text(), mol, arrays(mol), {"molecule": mol}]
    for form in forms:
        assert texts(pipe(form, **GREEDY)) == expected
    mixed = pipe([*forms, "CCO"], batch_size=len(forms) + 1, **GREEDY)
    assert [texts(captions) for captions in mixed] == [expected] * len(forms) + [by_hand(pipe, "CCO")]


def test_a_generator_is_read_lazily(pipe):
    read = []

    def molecules():
        for smiles in MOLECULES:
            read.append(smiles)
            yield smiles

    captions = pipe(molecules(), **GREEDY)
    assert texts(next(iter(captions))) == by_hand(pipe, MOLECULES[0])
    assert len(read) < len(MOLECULES)


def test_settings_of_the_feature_extractor_are_used(pipe, mol):
    extractor, before = pipe.processor.feature_extractor, texts(pipe(mol, **GREEDY))
    extractor.conformer_seed = 3
    expected = read_molecule("CCCCO", seed=3, remove_hydrogens=True)
    np.testing.assert_equal(pipe.preprocess("CCCCO")["molecule"], expected)
    assert np.abs(expected["positions"] - read_molecule("CCCCO", remove_hydrogens=True)["positions"]).max() > 0.1
    extractor.remove_hydrogens = False
    assert texts(pipe(mol, **GREEDY)) == by_hand(pipe, mol) != before
    extractor.max_atoms = 4
    with pytest.raises(MoleculeError, match="max_atoms=4"):
        pipe(mol)


def test_invalid_molecules_are_refused(pipe):
    with pytest.raises(MoleculeError, match="C1CC"):
        pipe(["CCO", "C1CC"], batch_size=2)
    with pytest.raises(MoleculeError, match="an object of type int is not a molecule"):
        pipe(5)
    with pytest.raises(ValueError, match="the list of molecules is empty; pass at least one"):
        pipe([])


# -------------------------------------------------------------------------------------------------------- the SMILES


@pytest.fixture
def showing(pipe) -> MoleculeCaptioningPipeline:
    pipe.processor.prompt = "{smiles} is"
    return pipe


def test_the_smiles_is_put_into_the_prompt(showing):
    expected = by_hand(showing, ["OCC", "NCCS"], smiles=["OCC", "NCCS"])
    assert expected != by_hand(showing, ["OCC", "NCCS"], smiles=["CCO", "NCCS"])
    captions = showing([" OCC ", "NCCS"], batch_size=2, **GREEDY)
    assert [texts(caption)[0] for caption in captions] == expected
    assert texts(showing("OCC", **GREEDY)) == expected[:1]


def test_other_forms_come_with_their_smiles(showing, mol):
    expected = by_hand(showing, mol, smiles="CC(Cl)CO")
    assert expected != by_hand(showing, mol, smiles="OCC(C)Cl")
    for form in ({"molecule": mol, "smiles": "CC(Cl)CO"}, {**arrays(mol), "smiles": "CC(Cl)CO"}):
        assert texts(showing(form, **GREEDY)) == expected
    assert texts(showing({"molecule": "CCO", "smiles": "OCC"}, **GREEDY)) == by_hand(showing, "CCO", smiles="OCC")


@pytest.mark.parametrize("form", ["path", "text", "InChI", "mol", "arrays"])
def test_a_molecule_without_a_required_smiles_is_refused(showing, mol, tmp_path, form):
    path = tmp_path / "molecule.SDF"
    Chem.MolToMolFile(mol, str(path))
    inchi = "InChI=1S/CH4O/c1-2/h2H,1H3"
    forms = {"path": str(path), "text": path.read_text(), "InChI": inchi, "mol": mol, "arrays": arrays(mol)}
    with pytest.raises(
        ValueError, match=r"the prompt contains the SMILES, but a molecule of type \w+ comes without one; pass"
    ):
        showing(forms[form])


# -------------------------------------------------------------------------------------------------------- generation


def test_the_score_is_the_mean_log_probability_of_the_tokens(pipe):
    for molecule, captions in zip(MOLECULES, pipe(MOLECULES, batch_size=3, **GREEDY)):
        batch = pipe.processor(molecule, return_tensors="pt")
        made = pipe.model.generate(**batch, **GREEDY, output_logits=True, return_dict_in_generate=True)
        expected = [float(logits.log_softmax(dim=1)[0, token]) for logits, token in zip(made.logits, made.sequences[0])]
        assert captions[0]["score"] == pytest.approx(np.mean(expected), abs=1e-4)


def test_the_scores_of_beams_are_their_own(pipe):
    settings = {"num_beams": 3, "num_return_sequences": 3}
    batch = pipe.processor("CCO", return_tensors="pt")
    made = pipe.model.generate(**batch, **GREEDY, **settings, output_scores=True, return_dict_in_generate=True)
    found = [caption["score"] for caption in pipe("CCO", **GREEDY, **settings)]
    assert found == pytest.approx(made.sequences_scores.tolist(), abs=1e-4)


@pytest.fixture
def informed(pipe, mol) -> MoleculeCaptioningPipeline:
    """A pipeline with references."""
    pipe.processor.num_neighbours = 2
    known = {"CCO": "an alcohol", "c1ccccc1": "an arene", "CCN": "an amine", "CC(=O)O": "an acid"}
    keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)) for smiles in known]
    given = (list(known), list(known.values()), keys)
    pipe.processor.references = GeomCLIPReferences.from_molecules(pipe.model, pipe.processor, *given)
    return pipe


@pytest.mark.parametrize("batch_size", [1, 3])
def test_neighbours_are_told(informed, batch_size):
    before = informed.processor.find_neighbours(informed.model, MOLECULES)
    found = informed(MOLECULES, batch_size=batch_size, **GREEDY)
    for (caption,), neighbours in zip(found, before, strict=True):
        assert [each["caption"] for each in caption["neighbours"]] == [each.caption for each in neighbours]
        assert [each["inchikey"] for each in caption["neighbours"]] == [each.inchikey for each in neighbours]
        similarities = [each["similarity"] for each in caption["neighbours"]]
        assert similarities == pytest.approx([each.similarity for each in neighbours], abs=1e-5)
    alone = [informed(molecule, **GREEDY)[0]["caption"] for molecule in MOLECULES]
    assert [caption["caption"] for (caption,) in found] == alone
    references = informed.processor.references
    references.captions = [caption[::-1] for caption in references.captions]
    assert [informed(molecule, **GREEDY)[0]["caption"] for molecule in MOLECULES] != alone  # they are read


def test_missing_references_are_told(pipe):
    pipe.processor.num_neighbours = 2
    with pytest.raises(ValueError, match="captions of 2 similar molecules, but there are no references"):
        pipe("CCO")


def test_several_captions_of_each_molecule(pipe):
    settings = {"num_beams": 3, "num_return_sequences": 2}
    captions = pipe(MOLECULES[:3], batch_size=2, **GREEDY, **settings)
    expected = by_hand(pipe, MOLECULES[:3], **settings)
    assert [texts(caption) for caption in captions] == [expected[:2], expected[2:4], expected[4:]]
    assert len(set(expected)) == 6


def test_generation_settings_may_be_given_in_three_places(captioner, processor, pipe):
    expected = pipe("NCCS", max_new_tokens=5)
    assert len(expected[0]["caption"]) <= 5
    assert texts(pipe("NCCS", generate_kwargs={"max_new_tokens": 5})) == texts(expected)
    bound = pipeline("molecule-captioning", model=captioner, processor=processor, device="cpu", max_new_tokens=5)
    assert texts(bound("NCCS")) == texts(expected)
    assert texts(bound("NCCS", max_new_tokens=12)) == texts(pipe("NCCS", **GREEDY)) != texts(expected)
    with pytest.raises(
        ValueError, match="max_new_tokens given both in generate_kwargs and as an argument; pass only one"
    ):
        pipe("NCCS", max_new_tokens=5, generate_kwargs={"max_new_tokens": 6})
    with pytest.raises(ValueError, match="max_new_token"):
        pipe("NCCS", max_new_token=5)


def test_the_length_is_the_model_s_own_if_it_has_one(pipe):
    pipe.model.generation_config.suppress_tokens = [pipe.processor.decoder_tokenizer.eos_token_id]
    batch = pipe.preprocess("CCO")
    assert pipe.forward(batch)["captions"].shape == (1, 1, 128)
    pipe.model.generation_config.max_new_tokens = 7
    assert pipe.forward(batch)["captions"].shape == (1, 1, 7)


# -------------------------------------------------------------------------------------------------- loading and saving


@pytest.fixture
def folders(captioner, processor, tmp_path) -> dict[str, Path]:
    folders = {kind: tmp_path / kind for kind in ("base", "adapter", "merged")}
    captioner.save_pretrained(folders["base"])
    captioner.add_adapter(captioner.lora_config(r=4))
    randomise(captioner, "lora_")
    captioner.save_pretrained(folders["adapter"])
    copy.deepcopy(captioner).merge_and_unload().save_pretrained(folders["merged"])
    for folder in folders.values():
        processor.save_pretrained(folder)
    return folders


@pytest.mark.parametrize("references", [False, True], ids=["alone", "with references"])
def test_folders_of_whole_models_and_of_adapters(request, captioner, processor, tmp_path, references):
    if references:
        request.getfixturevalue("informed")
    folders = request.getfixturevalue("folders")
    trained = pipeline("molecule-captioning", model=captioner, processor=processor, device="cpu")
    captions = {}
    for kind, folder in folders.items():
        pipe = pipeline("molecule-captioning", model=str(folder), device="cpu")
        assert type(pipe) is MoleculeCaptioningPipeline
        captions[kind] = pipe(["CCO", "c1ccccc1Cl"], **GREEDY)
        pipe.save_pretrained(tmp_path / f"{kind}_saved")
    assert rounded(captions["adapter"]) == rounded(trained(["CCO", "c1ccccc1Cl"], **GREEDY))
    assert rounded(captions["merged"]) == rounded(captions["adapter"]) != rounded(captions["base"])
    assert not (tmp_path / "adapter_saved" / "model.safetensors").exists()
    for folder in [*folders.values(), *tmp_path.glob("*_saved")]:  # the base of the adapter moves with it
        shutil.move(folder, tmp_path / "far" / folder.name)
    saved = [str(tmp_path / "far" / f"{kind}_saved") for kind in folders]
    (tmp_path / "elsewhere").mkdir()
    finished = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_THE_PACKAGE, *saved],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert [rounded(found[folder]) for folder in saved] == [rounded(given) for given in captions.values()]


def test_other_models_are_refused(model, processor):
    with pytest.raises(ValueError, match="the model is a geomclip, which does not generate captions; pass a captioner"):
        pipeline("molecule-captioning", model=model, processor=processor)
