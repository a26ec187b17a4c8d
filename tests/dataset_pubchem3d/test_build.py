"""Complete builds of the small world: their results, the accounting of all records, and reproducible bytes."""

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from filelock import FileLock
from rdkit import Chem

from dataset_pubchem3d.build import STAGES, build
from dataset_pubchem3d.pairs import read_label_units
from dataset_pubchem3d.pubchem3d import list_split_files
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.same_texts import normalise_text
from dataset_pubchem3d.schema import FEATURES
from dataset_pubchem3d.sources.molecule3d import Molecule3D
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.stages.splits import SPLITS
from modeling_geomclip import read_molecule

ETHANOL = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
BENZENE_BLOCK = "UHOVQNZJYSORNB"


@pytest.fixture(scope="module")
def recipe(world):
    return Recipe.from_yaml(world / "recipe.yaml")


def read(out, config="default"):
    """All rows of a config."""
    return [
        row
        for files in list_split_files(out, config).values()
        for file in files
        for row in pq.read_table(file).to_pylist()
    ]


def contents(out):
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def out(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "pubchem3d"
    build(recipe, folder)
    return folder


def test_each_text_meets_its_geometry(out):
    found = {(row["cid"], row["text_source"]): (row["geometry_source"], row["match_level"]) for row in read(out)}
    assert found == {
        (702, "ChEBI"): ("molecule3d", "inchikey"),
        (702, "DrugBank"): ("molecule3d", "inchikey"),
        (962, "ChEBI"): ("qm9", "inchikey"),
        (241, "CAMEO Chemicals"): ("molecule3d", "inchikey"),
        (5950, "ChEBI"): ("molecule3d", "inchikey"),
        (602, "ChEBI"): ("molecule3d", "cid"),  # the racemate, with the geometry of the L-form
        (2519, "LOTUS"): ("molecule3d", "inchikey"),
        (180, "ChEBI"): ("qm9", "inchikey"),
    }


def test_texts_are_cleaned_and_attributed(out):
    rows = {(row["cid"], row["text_source"]): row for row in read(out)}
    row = rows[702, "DrugBank"]
    assert row["text"] == "The molecule appears as a clear colorless liquid. The molecule has uses."
    assert row["text_raw"] == "Ethanol appears as a clear colorless liquid. Ethyl alcohol has uses."
    assert (row["text_kind"], row["text_source_id"], row["anid"]) == ("drug", "DrugBank:2", 2)
    assert row["text_license_url"] == "https://creativecommons.org/licenses/by-nc/4.0/legalcode"
    assert "β-tea" in rows[2519, "LOTUS"]["text"]
    assert {row["text_kind"] for row in rows.values()} == {"chebi", "drug", "hazard", "natural_product"}


def test_columns_are_those_of_the_schema(out):
    for row in read(out):
        assert list(row) == list(FEATURES)
        assert row["inchikey"] == Chem.InchiToInchiKey(row["inchi"])
        assert row["smiles"] == Chem.CanonSmiles(row["smiles"])
        assert len(row["atomic_numbers"]) == len(row["positions"])


def test_all_records_are_accounted_for(out):
    counts = json.loads((out / "build_report.json").read_text())["counts"]
    kept = {"texts pubchem text": "texts", "structures pubchem extras": "compounds", "identified": "texts"}
    kept |= {"joined": "rows", "cleaned": "rows", "deduplicated": "rows", "molecules qm9": "molecules"}
    for stage, what in kept.items():
        numbers = dict(counts[stage])
        read = numbers.pop(next(iter(numbers)))
        assert read == sum(numbers.values()), stage
        assert what in numbers
    for stage in ("geometries molecule3d", "geometries qm9"):
        assert counts[stage]["records read"] == sum(counts[stage].values()) - counts[stage]["records read"]
    quarantined = sum(len(file.read_text().splitlines()) for file in (out / "quarantine").iterdir())
    refused = sum(n for stage in counts.values() for what, n in stage.items() if what.startswith("refused"))
    assert quarantined == refused == 7


def test_the_config_of_properties_holds_all_molecules(out):
    rows = read(out, "qm9")
    assert len(rows) == 60
    assert "text" not in rows[0]
    methane = next(row for row in rows if row["geometry_id"] == "1")
    assert (methane["smiles"], methane["atomic_numbers"]) == ("C", [6, 1, 1, 1, 1])
    assert methane["gap"] == pytest.approx(0.5048)  # Hartree; dsgdb9nsd_000001.xyz
    assert methane["homo"] == pytest.approx(-0.3877)


def test_a_first_block_is_in_one_split_in_every_config(out):
    splits = {}
    for config in ("default", "pretrain", "captioning", "qm9"):
        for row in read(out, config):
            assert splits.setdefault(row["inchikey14"], row["split"]) == row["split"]
    assert len(set(splits.values())) == 3


def test_captioning_has_the_longer_texts(out):
    assert {row["text"] for row in read(out, "captioning")} == {
        row["text"] for row in read(out) if len(row["text"].split()) >= 13
    }
    assert 0 < len(read(out, "captioning")) < len(read(out))


def test_benchmark_molecules_stay_out_of_training(recipe, tmp_path):
    (tmp_path / "list.txt").write_text(f"{ETHANOL}\n{BENZENE_BLOCK}\n")
    report = build(replace(recipe, benchmarks={"mine": str(tmp_path / "list.txt")}), tmp_path / "out")
    listed = {ETHANOL[:14], BENZENE_BLOCK}
    for config in ("pretrain", "captioning"):
        rows = [row for row in read(tmp_path / "out", config) if row["split"] != "test"]
        assert rows
        assert listed.isdisjoint(row["inchikey14"] for row in rows)
    assert listed <= {row["inchikey14"] for row in read(tmp_path / "out")}
    assert sum(report["rows_of_benchmark_molecules"]["mine"].values()) == 3
    for config in ("default", "qm9"):
        for row in read(tmp_path / "out", config):
            assert row["benchmarks"] == (["mine"] if row["inchikey14"] in listed else [])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Recipe of 24 alcohols with four texts, and a list of another alcohol with one of the texts."""
    folder = tmp_path_factory.mktemp("shared")
    texts = ["It is an alcohol.", "it is an  alcohol", "The molecule burns.", "A liquid"]
    rows = [f"{'C' * carbons}O,{texts[carbons % 4]}" for carbons in range(1, 25)]
    rows += ["O,Water alone is told so.", "[NH4+],Ammonium alone is told so.", "CN,Methylamine alone is told so."]
    (folder / "mine.csv").write_text("\n".join(["smiles,text", *rows]) + "\n")
    (folder / "list.csv").write_text("smiles,text\nOCCO,a  LIQUID.\n")
    return Recipe.from_table(str(folder / "mine.csv"), split_sizes=(6, 2, 1)), str(folder / "list.csv")


@pytest.fixture(scope="module")
def of_shared(shared, tmp_path_factory):
    """The folder built from the recipe without a list, and its report."""
    folder = tmp_path_factory.mktemp("of_shared") / "out"
    return folder, build(shared[0], folder)


def test_pretrain_has_no_text_of_a_later_split(of_shared):
    folder, report = of_shared
    texts = {name: {normalise_text(row["text"]) for row in read(folder) if row["split"] == name} for name in SPLITS}
    assert texts["train"] & texts["test"]
    assert texts["validation"] & texts["test"]
    after = {"train": texts["validation"] | texts["test"], "validation": texts["test"], "test": set()}
    kept = [row for row in read(folder) if normalise_text(row["text"]) not in after[row["split"]]]
    assert read(folder, "pretrain") == [row for row in kept if row["split"] != "test"]
    sizes = {config: Counter(row["split"] for row in read(folder, config)) for config in ("default", "pretrain")}
    for split, reasons in report["left_out_of_pretrain"].items():
        assert sum(reasons.values()) == sizes["default"][split] - sizes["pretrain"][split]
        assert reasons["molecule of a benchmark"] == reasons["text of a benchmark"] == 0
    assert report["left_out_of_pretrain"]["train"]["text of validation"] > 0
    assert report["left_out_of_pretrain"]["validation"]["text of test"] > 0


def test_benchmark_texts_stay_out_of_pretrain_and_are_counted_separately(shared, of_shared, tmp_path):
    recipe, path = shared
    recipe = replace(recipe, benchmarks={"mine": path}, captioning_min_words=1, split_sizes=(1, 0, 0))
    report = build(recipe, tmp_path / "out")
    rows = {config: read(tmp_path / "out", config) for config in ("default", "pretrain", "captioning")}
    assert rows["default"] == rows["captioning"]
    assert rows["pretrain"] == [row for row in rows["default"] if row["text"] != "A liquid"]
    assert all(row["benchmarks"] == [] for row in rows["default"])  # this column is about molecules only
    assert report["left_out_of_pretrain"]["train"]["text of a benchmark"] == 6
    assert report["rows_of_benchmark_texts"] == {"mine": {"train": 6}}
    assert report["rows_of_benchmark_molecules"] == {"mine": {}}


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"text_licenses": "permissive"}, "the licence of its text is not known to be permissive"),
        ({"match": "inchikey"}, "its geometry matches by cid only, and the recipe asks for inchikey"),
        ({"min_words": 13}, "the text has fewer than min_words words"),
    ],
)
def test_settings_refuse_rows_and_report_it(recipe, tmp_path, out, change, refused):
    report = build(replace(recipe, **change), tmp_path / "out")
    number = sum(stage.get(f"refused: {refused}", 0) for stage in report["counts"].values())
    assert number > 0
    assert len(read(tmp_path / "out")) < len(read(out))


def test_the_last_resort_makes_what_no_other_source_has(recipe, tmp_path, out):
    geometries = (*recipe.geometries, RDKitConformers())
    build(replace(recipe, geometries=geometries, min_words=1), tmp_path / "out")
    rows = {(row["cid"], row["text_source"]): row for row in read(tmp_path / "out")}
    made = {cid for (cid, _), row in rows.items() if row["geometry_source"] == "rdkit"}
    assert made == {6325, 517045, 23978}
    assert "not a ground state" in rows[6325, "ChEBI"]["geometry_method"]
    before = {(row["cid"], row["text_source"]): row["positions"] for row in read(out)}
    assert all(rows[pair]["positions"] == positions for pair, positions in before.items())


def test_a_split_by_scaffold_keeps_scaffolds_together(recipe, tmp_path):
    build(replace(recipe, split_by="scaffold"), tmp_path / "out")
    groups = {row["cid"]: row["split_group"] for row in read(tmp_path / "out")}
    assert groups[241] == "c1ccccc1"
    assert groups[5950] == groups[602] == "QNAYBMKLOCPYGJ"


def test_equal_input_gives_equal_bytes_for_any_number_of_processes(recipe, tmp_path, out):
    build(recipe, tmp_path / "out", num_proc=2)
    assert contents(tmp_path / "out") == contents(out)


def test_a_build_can_stop_after_any_stage_and_resume(recipe, tmp_path, out):
    for stage in STAGES:
        assert not (tmp_path / "out").exists()
        build(recipe, tmp_path / "out", last_stage=stage)
    assert contents(tmp_path / "out") == contents(out)


def test_a_finished_stage_is_not_run_again(recipe, tmp_path, monkeypatch, out):
    build(recipe, tmp_path / "out", last_stage="read")
    monkeypatch.setattr(Molecule3D, "read_records", lambda *args: pytest.fail("read again"))
    build(recipe, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(out)


def test_a_changed_setting_or_file_is_noticed(recipe, world, tmp_path, out):
    work, folder = tmp_path / "work", tmp_path / "out"
    build(replace(recipe, min_words=14, conformers=2, seed=3), folder, work)
    before = contents(folder)
    build(recipe, folder, work)
    assert contents(folder) == contents(out) != before


def test_two_builds_do_not_share_a_work_folder(recipe, tmp_path):
    (tmp_path / ".out.work").mkdir()
    with (
        FileLock(tmp_path / ".out.work" / "lock"),
        pytest.raises(OSError, match=r"another build is running in .*\.out"),
    ):
        build(recipe, tmp_path / "out")
    build(recipe, tmp_path / "out", last_stage="fetch")


def test_texts_with_only_a_cid_are_refused_without_a_source_of_structures(tmp_path):
    (tmp_path / "mine.csv").write_text("cid,smiles,text\n702,,Ethanol it is called.\n962,O,Water it is called.\n")
    report = build(Recipe.from_table(str(tmp_path / "mine.csv"), min_words=1), tmp_path / "out")
    assert [row["smiles"] for row in read(tmp_path / "out")] == ["O"]
    assert any(
        "only by a CID, and the recipe names no source of structures" in what
        for what in report["counts"]["texts table"]
    )


def test_a_stereoisomer_without_a_geometry_gets_its_own_unless_first_blocks_match(tmp_path):
    rows = [
        {"cid": 5950, "smiles": "C[C@@H](C(=O)O)N", "text": "It is L-alanine."},
        {"cid": 71080, "smiles": "C[C@H](C(=O)O)N", "text": "It is D-alanine."},
    ]
    molecule = read_molecule(rows[0]["smiles"])
    rows[0] |= {name: values.tolist() for name, values in molecule.items()}
    pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
    for match, sources in (("inchikey", {"table", "rdkit"}), ("cid", {"table", "rdkit"}), ("first_block", {"table"})):
        build(Recipe.from_table(str(tmp_path / "mine.parquet"), min_words=1, match=match), tmp_path / match)
        found = read(tmp_path / match)
        assert (len(found), {row["geometry_source"] for row in found}) == (2, sources), match


def test_the_work_folder_must_not_be_in_the_output_folder(recipe, tmp_path):
    for work in (tmp_path / "out", tmp_path / "out" / "work"):
        with pytest.raises(ValueError, match="which a finished build replaces; choose one outside it"):
            build(recipe, tmp_path / "out", work)
    assert not (tmp_path / "out").exists()


def test_a_faulty_list_fails_before_anything_is_read(recipe, tmp_path):
    (tmp_path / "list.txt").write_text("not a molecule\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 1: 'not a molecule' is neither"):
        build(replace(recipe, benchmarks={"mine": str(tmp_path / "list.txt")}), tmp_path / "out")
    assert not list((tmp_path / ".out.work").glob("texts*"))


def test_a_build_without_rows_reports_the_refusals(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"no row is left; refused: 9 x the text has fewer than min_words"):
        build(replace(recipe, min_words=1000), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_log_has_the_messages_of_the_stages(recipe, tmp_path):
    build(recipe, tmp_path / "out")
    log = (tmp_path / ".out.work" / "build.log").read_text()
    assert "geometries qm9: records read 60, wanted by no text 57, geometries 3" in log
    assert len(log.splitlines()) == 10


def test_the_log_has_the_traceback_of_an_error(recipe, tmp_path):
    with pytest.raises(ValueError, match="no row is left"):
        build(replace(recipe, min_words=1000), tmp_path / "out")
    log = (tmp_path / ".out.work" / "build.log").read_text()
    assert "Traceback" in log
    assert "ValueError: no row is left" in log


def test_molecules_with_properties_are_built_without_texts(tmp_path):
    rows = [f"{smiles},{number}" for number, smiles in enumerate(("CCO", "CO", "CN", "CCC", "c1ccccc1", "broken("))]
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,gap", *rows]) + "\n")
    recipe = Recipe.from_labels(str(tmp_path / "mine.csv"), ["gap"], ["eV"], split_sizes=(3, 1, 1))
    report = build(recipe, tmp_path / "mine")
    assert report["configs"] == {"labels": {"train": 2, "validation": 2, "test": 1}}
    assert report["shares"] == {"train": 0.6, "validation": 0.2, "test": 0.2}
    assert report["counts"] == {
        "molecules labels": {"records read": 6, "molecules": 5, "refused: RDKit cannot read the SMILES": 1}
    }
    dataset = load_dataset(str(tmp_path / "mine"), cache_dir=str(tmp_path / "cache"))  # its one config
    found = {row["smiles"]: row["gap"] for split in dataset.values() for row in split}
    assert found == {"CCO": 0.0, "CO": 1.0, "CN": 2.0, "CCC": 3.0, "c1ccccc1": 4.0}
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "5 molecules with 3D geometries and properties" in card
    assert "| `gap` | float64 | eV |" in card
    assert "## The texts" not in card
    assert "{{" not in card
    assert "{%" not in card
    assert len((tmp_path / "mine" / "quarantine" / "molecules_labels.jsonl").read_text().splitlines()) == 1
    assert build(recipe, tmp_path / "mine") == report
    assert read_label_units(str(tmp_path / "mine")) == {"gap": "eV"}
    assert read_label_units(str(tmp_path / "mine.csv")) == {}
