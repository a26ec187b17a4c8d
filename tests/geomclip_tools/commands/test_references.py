"""References from a user's table: rows that cannot be references are counted."""

import pandas as pd
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoTokenizer

from geomclip_tools.commands.references import build_references
from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPForCaptioning, embed_molecules
from tests.geomclip_tools.training.tiny_decoder import save_decoder

TABLE = """smiles,text
CCO,an alcohol
C1CC,a broken ring
c1ccccc1,
CCN,an amine
"""


@pytest.fixture
def captioner(model, processor, tmp_path):
    decoder = save_decoder(tmp_path / "decoder")
    torch.manual_seed(1)
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), num_prefix_tokens=3)
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    return captioner.eval(), GeomCLIPCaptioningProcessor(processor.feature_extractor, tokenizer, num_neighbours=1)


def test_a_table_becomes_references(captioner, tmp_path, caplog):
    (tmp_path / "known.csv").write_text(TABLE)
    references = build_references(*captioner, str(tmp_path / "known.csv"))
    assert references.captions == ["an alcohol", "an amine"]
    assert references.inchikeys == ["LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "QUSNBJAOOMFDIB-UHFFFAOYSA-N"]
    assert_close(references.embeddings.float(), embed_molecules(*captioner, ["CCO", "CCN"]), atol=1e-3, rtol=0)
    references.check_captioner(captioner[0])
    assert "2 of 4 rows of" in caplog.text
    assert "are not used as references: 2 cannot be read (the first in row 1: " in caplog.text
    assert "2 references are too few to tell whether a molecule is unlike them; 100 are enough" in caplog.text


def test_a_table_without_a_usable_row_is_refused(captioner, tmp_path):
    (tmp_path / "known.csv").write_text("smiles,text\nC1CC,a broken ring\n")
    with pytest.raises(ValueError, match=r"no row of .*known.csv can be a reference: 1 cannot be read \(the first"):
        build_references(*captioner, str(tmp_path / "known.csv"))


def test_texts_are_strings(captioner, tmp_path):
    (tmp_path / "known").mkdir()
    rows = pd.DataFrame({"smiles": ["CCO"], "text": [["an alcohol", "a solvent"]]})
    rows.to_parquet(tmp_path / "known" / "train.parquet")
    with pytest.raises(ValueError, match=r"the column text of .* is List.*; a reference has one text as a string"):
        build_references(*captioner, str(tmp_path / "known"))
