"""The dataset of the packaged sources, checked by independent joins, parsers and tables."""

import json
import re
from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors

from dataset_pubchem3d.sources.base import find_installed_folder
from dataset_pubchem3d.sources.chemicals import MEASURED_TABLES
from dataset_pubchem3d.stages.splits import SPLITS
from dataset_pubchem3d.text.descriptions import NAME_SENTENCES

MEASURED = {  # (source named in the text, property): (file, column), and how the text prints the SI value
    ("the CRC Handbook", "melting point"): ("Misc/Physical Constants of Organic Compounds.csv", "Tm"),
    ("the CRC Handbook", "boiling point"): ("Misc/Physical Constants of Organic Compounds.csv", "Tb"),
    ("the CRC Handbook", "density"): ("Misc/Physical Constants of Organic Compounds.csv", "rho"),
    ("the CRC Handbook", "critical temperature"): ("Critical Properties/CRCCriticalOrganics.tsv", "Tc"),
    ("the Open Notebook Science collection", "melting point"): ("Phase Change/OpenNotebook Melting Points.tsv", "Tm"),
    ("CAS Common Chemistry", "melting point"): ("Misc/common_chemistry_data.tsv", "Tm"),
    ("the IUPAC review of critical properties", "critical temperature"): (
        "Critical Properties/IUPACOrganicCriticalProps.tsv",
        "Tc",
    ),
    ("the standard IEC 60079-20-1", "flash point"): ("Safety/IS IEC 60079-20-1 2010.tsv", "T_flash"),
    ("the standard NFPA 497", "flash point"): ("Safety/NFPA 497 2008.tsv", "T_flash"),
}
KINDS = sorted({kind for _, kind in MEASURED})
IDENTIFIER_COLUMNS = ["cid", "cas", "formula", "mw", "smiles", "inchi", "inchikey", "iupac", "title"]
NUMBER_WITH_UNIT = re.compile(r"(-?\d+\.\d+) (°C|K|g/cm³)")
STATED = re.compile(rf"({'|'.join(KINDS)}) (?:is|of) (-?\d+\.\d+ (?:°C|K|g/cm³))")


@pytest.fixture(scope="module")
def joined():
    """`qm9pack` merged with `chemicals` on the InChI, sorted by U0, then by index."""
    qm9 = pd.concat(
        pd.read_csv(
            find_installed_folder("qm9pack") / "data" / f"qm9_part{part}.csv",
            usecols=["Index", "InChi", "Elements", "XYZ_Ang", "InternalEnergy_0K_au", "Stoichiometry"],
        )
        for part in (1, 2, 3)
    )
    lines = (find_installed_folder("chemicals") / "Identifiers/chemical identifiers pubchem large.tsv").read_text(
        "utf-8"
    )
    fields = [line.split("\t")[:9] for line in lines.splitlines()]
    compounds = pd.DataFrame(fields, columns=IDENTIFIER_COLUMNS)
    compounds["InChi"] = "InChI=1S/" + compounds["inchi"]
    return qm9.merge(compounds, on="InChi").sort_values(["InternalEnergy_0K_au", "Index"])


def test_the_join(rows, joined):
    lowest = joined.drop_duplicates("inchikey").set_index("inchikey")
    assert len(rows) == len(lowest) == 2224
    assert len(joined) - len(lowest) == 155
    assert {row["inchikey"] for row in rows} == set(lowest.index)
    for row in rows:
        expected = lowest.loc[row["inchikey"]]
        assert row["geometry_id"] == str(expected["Index"])
        assert (row["cid"], row["text_source_id"]) == (int(expected["cid"]), expected["cas"])
        assert row["conformer_energy"] == pytest.approx(expected["InternalEnergy_0K_au"] * 27.2113862, rel=1e-8)


def test_every_record_is_accounted_for(rows, built):
    counts = json.loads((built / "build_report.json").read_text())["counts"]
    texts, geometries, joined = counts["texts chemicals"], counts["geometries qm9"], counts["joined"]
    assert texts["records read"] == 71347
    assert geometries["records read"] == 130831
    assert geometries["geometries"] + geometries["wanted by no text"] == 130831
    for stage, read, kept in ((texts, "records read", "texts"), (joined, "texts", "rows")):
        assert stage[read] == stage[kept] + sum(n for what, n in stage.items() if what.startswith("refused"))
    assert joined["texts"] == texts["texts"]
    assert joined["rows"] == len(rows)
    lines = (built / "quarantine" / "joined.jsonl").read_text().splitlines()
    assert len(lines) == joined["texts"] - joined["rows"]
    assert set(json.loads(lines[0])) == {"source", "id", "reason", "detail"}


def test_the_card_names_every_table_of_measurements_with_a_reason(built):
    card = (built / "README.md").read_text()
    for table in MEASURED_TABLES:
        assert f"`{table.file}` ({table.reason})" in card


def test_positions_equal_the_source(rows, joined):
    cells = joined.drop_duplicates("inchikey").set_index("inchikey")
    for row in rows:
        numbers = re.findall(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?", cells.loc[row["inchikey"], "XYZ_Ang"])
        expected = np.array(numbers, dtype=np.float64).astype(np.float32).reshape(-1, 3)
        assert np.array_equal(np.array(row["positions"], dtype=np.float32), expected)
        symbols = re.findall(r"[A-Z][a-z]?", cells.loc[row["inchikey"], "Elements"])
        assert [Chem.GetPeriodicTable().GetElementSymbol(number) for number in row["atomic_numbers"]] == symbols


def test_the_identity_columns_agree_with_rdkit(rows):
    for row in rows:
        mol = Chem.MolFromSmiles(row["smiles"])
        assert Chem.MolToInchiKey(mol) == row["inchikey"] == Chem.InchiToInchiKey(row["inchi"])
        assert Chem.MolToSmiles(mol) == row["smiles"]
        assert row["inchikey"][:14] == row["inchikey14"] == row["split_group"]
        atoms = [atom.GetAtomicNum() for atom in Chem.AddHs(mol).GetAtoms()]
        assert sorted(atoms) == sorted(row["atomic_numbers"])
        assert row["n_heavy"] == sum(number > 1 for number in row["atomic_numbers"]) <= 9
        assert row["formal_charge"] == 0


def test_splits_are_disjoint_and_complete(rows):
    blocks = {split: {row["inchikey14"] for row in rows if row["split"] == split} for split in SPLITS}
    assert sum(len(found) for found in blocks.values()) == len(set.union(*blocks.values())) == 2224
    assert Counter(row["split"] for row in rows) == {"train": 1779, "validation": 223, "test": 222}


def test_no_text_states_formula_mass_or_line_notation(rows):
    for row in rows:
        mol = Chem.MolFromSmiles(row["smiles"])
        text = row["text"].lower()
        bare = re.sub(r"[^a-z0-9]", "", text)
        formula = rdMolDescriptors.CalcMolFormula(mol).lower()
        atoms = Counter(Chem.GetPeriodicTable().GetElementSymbol(number) for number in row["atomic_numbers"])
        spelled = "".join(f"{symbol}{atoms[symbol]}" for symbol in sorted(atoms)).lower()  # C2H6O1
        assert formula not in bare
        assert spelled not in bare
        for mass in (Descriptors.MolWt(mol), Descriptors.ExactMolWt(mol)):
            for digits in (1, 2):
                assert not re.search(rf"(?<![\d.]){re.escape(f'{mass:.{digits}f}')}(?!\d)", text)
        assert not re.search(r"inchi|smiles|\bmass\b|weight|formula\b|g/mol|dalton", text)
        assert row["inchikey14"].lower() not in text
        assert not re.search(r"\b\d{2,7}-\d{2}-\d\b", text.replace("iec 60079-20-1", ""))
        assert not (len(row["smiles"]) > 3 and row["smiles"].lower() in text.split())


@cache
def table_values(file: str, column: str) -> dict[str, float]:
    table = pd.read_csv(find_installed_folder("chemicals") / file, sep="\t", dtype={"CAS": str}).dropna(subset=[column])
    return dict(zip(table["CAS"].str.replace("-", ""), table[column].astype(float), strict=True))


def agrees(printed: str, value: float) -> bool:
    """Whether a printed property equals the SI value `value` to the printed digits."""
    number, unit = printed.split()
    offset, scale, half_digit = {"°C": (273.15, 1, 0.05), "K": (0, 1, 0.05), "g/cm³": (0, 1000, 0.5)}[unit]
    return abs(float(number) * scale + offset - value) < half_digit * 1.001


def stated_properties(text: str):
    """(kind, printed value, source) of every property in the text."""
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
        for kind, printed in STATED.findall(sentence):
            sources = [source for source, _ in MEASURED if source[4:] in sentence]
            yield kind, printed, sources[0]


def test_every_number_comes_from_a_table_of_measurements(rows):
    checked = Counter()
    for row in rows:
        cas = row["text_source_id"].replace("-", "")
        stated = list(stated_properties(row["text"]))
        assert len(stated) == len(NUMBER_WITH_UNIT.findall(row["text"]))
        for kind, printed, source in stated:
            assert agrees(printed, table_values(*MEASURED[source, kind])[cas])
            checked[kind] += 1
        assert (row["text_kind"] == "names_and_properties") == bool(stated)
    assert checked["melting point"] > 800
    assert min(checked[kind] for kind in KINDS) > 10


def test_an_estimate_would_be_noticed(rows):
    joback = table_values("Misc/joback_predictions.tsv", "Tb")
    checked = same = 0
    for row in rows:
        for kind, printed, _ in stated_properties(row["text"]):
            if kind == "boiling point" and (estimate := joback.get(row["text_source_id"].replace("-", ""))):
                checked += 1
                same += agrees(printed, estimate)
    assert checked > 400
    assert same < 0.02 * checked


def test_texts_are_short_distinct_and_varied(rows):
    words = [len(row["text"].split()) for row in rows]
    assert np.median(words) < 40
    assert max(words) < 100
    assert len({row["text"] for row in rows}) == len(rows)
    for has_iupac_name in (True, False):
        for has_synonyms in (True, False):
            facts = [(json.loads(row["text_raw"]), row["text"]) for row in rows]
            texts = [
                (fact, text)
                for fact, text in facts
                if (fact["iupac_name"] is not None, bool(fact["synonyms"])) == (has_iupac_name, has_synonyms)
            ]
            forms = NAME_SENTENCES[has_iupac_name, has_synonyms]
            starts = Counter(
                re.sub(re.escape(fact["name"]), "NAME", text, count=1, flags=re.I)[:22] for fact, text in texts
            )
            assert len(texts) > 100
            assert max(starts.values()) < 2 * len(texts) / len(forms)


def test_facts_and_text_agree(rows):
    for row in rows:
        facts = json.loads(row["text_raw"])
        lower = row["text"].lower()
        assert row["name"] == facts["name"]
        for name in (facts["name"], *facts["synonyms"], *filter(None, [facts["iupac_name"]])):
            assert name in lower
        assert len(facts["measurements"]) == len(NUMBER_WITH_UNIT.findall(row["text"]))


def test_constant_and_null_columns(rows):
    constants = {
        "n_conformers": 1,
        "further_positions": [],
        "benchmarks": [],
        "geometry_source": "qm9",
        "geometry_method": "B3LYP/6-31G(2df,p)",
        "match_level": "inchikey",
        "text_source": "chemicals",
        "anid": None,
    }
    for row in rows:
        assert {name: row[name] for name in constants} == constants
        assert [name for name, value in row.items() if value is None] == ["anid"]
