"""`geomclip index` makes, describes, thins out and exports an index."""

import json

import pandas as pd
import pytest

from geomclip_tools.commands.index import main
from geomclip_tools.library import MoleculeIndex


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> str:
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    return str(tmp_path / "geomclip")


def test_the_life_of_an_index(checkpoint, tmp_path, capsys):
    path, library = str(tmp_path / "mine"), tmp_path / "library.csv"
    library.write_text("name,smiles,price\nethanol,CCO,1\nbroken,C1CC,2\nbenzene,c1ccccc1,3\nalcohol,OCC,4\n")
    main(["add", str(library), "--index", path, "--model", checkpoint, "--num-proc", "0"])
    told = capsys.readouterr()
    merged = "merged 1 entry into molecules that were there, skipped 0 added earlier"
    assert f"added 2 molecules to {path}, which now has 2; {merged}" in told.out
    assert "skipped: 1 entry: RDKit cannot read the SMILES" in told.err
    assert f"1 of 4 entries was skipped; see {path}.rejected.jsonl" in told.err
    (line,) = [json.loads(line) for line in (tmp_path / "mine.rejected.jsonl").read_text().splitlines()]
    assert (line["place"], line["molecule"]) == (f"{library}, line 3", "C1CC")

    main(["add", str(library), "--index", path, "--num-proc", "0"])  # the index names its model
    assert "added 0 molecules" in capsys.readouterr().out
    main(["info", "--index", path])
    told = capsys.readouterr().out
    assert "molecules          2" in told
    assert MoleculeIndex.open(path).info()["weights_sha256"] in told
    main(["optimize", "--index", path])
    main(["export", "--index", path, "--output", str(tmp_path / "out" / "all.csv"), "--where", "rings = 0"])
    assert f"wrote 1 molecule to {tmp_path}/out/all.csv" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "all.csv")
    assert table["names"].tolist() == ["ethanol; alcohol"]
    assert json.loads(table["columns"][0]) == {"price": "1"}
    main(["remove", "--index", path, "--where", "rings = 0"])
    assert f"removed 1 molecule from {path}" in capsys.readouterr().out
    assert len(MoleculeIndex.open(path)) == 1


def test_what_makes_no_sense_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"there is no index at .*; pass --model to make one"):
        main(["add", "a.smi", "--index", str(tmp_path / "none")])
    with pytest.raises(ValueError, match=r"there is no index at .*none; check the path"):
        main(["info", "--index", str(tmp_path / "none")])
    with pytest.raises(ValueError, match="--batch-size must be at least 1"):
        main(["add", "a.smi", "--index", "x", "--batch-size", "0"])
    with pytest.raises(SystemExit) as end:
        main(["delete"])
    assert end.value.code == 2
    assert "there is no step 'delete'; choose one of add, info" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []
