import json
from collections import Counter

from dataset_pubchem3d.publication.redistribution import Terms
from geomclip_tools.publishing.publication import Publication
from geomclip_tools.publishing.summary import describe_publication

RDKIT = Terms("geometry", "rdkit", "none needed (computed by RDKit)")


def test_a_dataset_is_described_by_files_rows_and_licences(tmp_path):
    (tmp_path / "build_report.json").write_text(json.dumps({"configs": {"default": {"train": 1200}, "pretrain": {}}}))
    publication = Publication(tmp_path, "dataset", ("build_report.json",))
    terms = [Terms("text", "table", name) for name in ("not stated", "MIT")]
    text = describe_publication(publication, Counter({(RDKIT, terms[0]): 3, (RDKIT, terms[1]): 1200}), ())
    assert text.splitlines()[1:] == [
        "    57 bytes  build_report.json",
        "config default: 1,200 train",
        "config pretrain: no rows",
        f"1,203 rows of all configs: {RDKIT}: may be redistributed",
        "1,200 rows of all configs: text of table, licence 'MIT': may be redistributed",
        "3 rows of all configs: text of table, licence 'not stated': NOT KNOWN TO BE FREE",
    ]
    assert "NOT KNOWN" not in describe_publication(publication, Counter({(terms[0],): 3}), ["not stated"])
