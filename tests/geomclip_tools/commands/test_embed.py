"""`geomclip embed` writes the same embeddings as the Python functions, in every file format."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch.testing import assert_close

from geomclip_tools.commands.embed import main
from modeling_geomclip import embed_molecules, embed_texts


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> Path:
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    return tmp_path / "geomclip"


def test_molecules(model, processor, checkpoint, tmp_path, capsys):
    smiles = ["CCO", "CCCCN", "C1CC", "CO"]
    pd.DataFrame({"smiles": smiles}).to_csv(tmp_path / "molecules.csv", index=False)
    words = ["--model", str(checkpoint), "--molecules", str(tmp_path / "molecules.csv")]
    main([*words, "--output", str(tmp_path / "out.npz"), "--pair-budget", "100"])
    main([*words, "--output", str(tmp_path / "out.parquet")])
    expected = embed_molecules(model, processor, ["CCO", "CCCCN", "CO"]).numpy()
    arrays = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)
    assert (arrays["ids"].tolist(), arrays["rows"].tolist()) == (["CCO", "CCCCN", "CO"], [0, 1, 3])
    table = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(np.stack(table["embedding"]), expected, atol=1e-5)
    assert table["row"].tolist() == [0, 1, 3]
    printed = capsys.readouterr()
    assert "wrote 3 embeddings of size 16" in printed.out
    assert "1 of 4 molecules was skipped" in printed.err


def test_texts(model, processor, checkpoint, tmp_path):
    (tmp_path / "texts.txt").write_text("an acid\nan amine with a ring\n")
    words = ["--model", str(checkpoint), "--texts", str(tmp_path / "texts.txt"), "the ring"]
    main([*words, "--output", str(tmp_path / "out.npz")])
    texts = ["an acid", "an amine with a ring", "the ring"]
    arrays = np.load(tmp_path / "out.npz")
    assert arrays["ids"].tolist() == texts
    np.testing.assert_allclose(arrays["embeddings"], embed_texts(model, processor, texts).numpy(), atol=1e-5)


def test_tables_of_texts(model, processor, checkpoint, tmp_path):
    pd.DataFrame({"text": ["an acid", "NA"]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"text": ["the ring"], "cid": [1]}).to_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.tsv").write_text('text\n"an amine\n')
    files = [str(tmp_path / name) for name in ("a.csv", "b.parquet", "c.tsv")]
    main(["--model", str(checkpoint), "--texts", *files, "--output", str(tmp_path / "out.npz")])
    texts = ["an acid", "NA", "the ring", '"an amine']
    arrays = np.load(tmp_path / "out.npz")
    assert arrays["ids"].tolist() == texts
    np.testing.assert_allclose(arrays["embeddings"], embed_texts(model, processor, texts).numpy(), atol=1e-5)


def test_texts_that_are_not_there_are_refused(tmp_path):
    words = ["--model", "nowhere", "--output", "o.npz", "--texts"]
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match=r"there is no text in .*empty\.txt; pass at least one"):
        main([*words, str(tmp_path / "empty.txt")])
    pd.DataFrame({"words": ["a"]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"a\.csv: has the columns words and lacks text or description or caption"):
        main([*words, str(tmp_path / "a.csv")])
    for name in ("missing.csv", "missing.txt", "missing.parquet"):
        with pytest.raises(ValueError, match=f"there is no file .*{name}; check the path"):
            main([*words, str(tmp_path / name)])


def test_texts_that_are_damaged_are_left_out_and_listed(model, processor, checkpoint, tmp_path, capsys):
    (tmp_path / "a.csv").write_bytes(b'Description\nan acid\nfrom K\xf6ln\n"a" ring\nthe ring\n')
    (tmp_path / "b.txt").write_bytes(b"an amine\nat 5 \xb0C\n")
    words = ["--model", str(checkpoint), "--texts", str(tmp_path / "a.csv"), str(tmp_path / "b.txt")]
    main([*words, "--output", str(tmp_path / "out.npz")])
    arrays = np.load(tmp_path / "out.npz")
    assert arrays["ids"].tolist() == ["an acid", "the ring", "an amine"]
    assert arrays["rows"].tolist() == [0, 3, 4]
    lines = [json.loads(line) for line in (tmp_path / "out.rejected.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 5]
    assert "line 3 holds byte 0xf6" in lines[0]["reason"]
    assert "3 of 6 texts were skipped" in capsys.readouterr().err
    main([*words, "--output", str(tmp_path / "out.npz"), "--encoding", "latin-1"])
    assert np.load(tmp_path / "out.npz")["rows"].tolist() == [0, 1, 3, 4, 5]
    (tmp_path / "b.txt").write_bytes(b"\xf6\n")
    with pytest.raises(ValueError, match="no text of 1 can be read: line 1 holds byte 0xf6"):
        main(["--model", "nowhere", "--texts", str(tmp_path / "b.txt"), "--output", str(tmp_path / "out.npz")])


@pytest.mark.parametrize("words", [["--molecules", "C"], ["--texts", "an acid"]])
def test_a_tower_alone_is_refused(model, tmp_path, words):
    model.geometry_model.save_pretrained(tmp_path / "tower")
    with pytest.raises(ValueError, match="is a geomclip_geometry, which does not embed molecules and texts"):
        main(["--model", str(tmp_path / "tower"), "--output", "o.npz", *words])


def test_bfloat16(model, processor, checkpoint, tmp_path):
    words = ["--model", str(checkpoint), "--molecules", "CCO", "--dtype", "bfloat16"]
    main([*words, "--output", str(tmp_path / "out.npz")])
    found, exact = np.load(tmp_path / "out.npz")["embeddings"], embed_molecules(model, processor, "CCO").numpy()
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.05
    assert_close(float((found * exact).sum()), 1.0, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pass either --molecules or --texts"),
        (["--molecules", "C", "--texts", "a"], "pass either --molecules or --texts"),
        (["--molecules", "C", "--dtype", "int8"], "--dtype is 'int8'; it must be one of float32, bfloat16"),
        (["--texts", "a", " "], "1 of 2 texts is empty, the first in row 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_model_is_loaded(words, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        main(["--model", "nowhere", "--output", "o.npz", *words])
