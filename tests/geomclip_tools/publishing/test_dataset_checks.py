import json
from collections import Counter
from pathlib import Path

import pytest

from dataset_pubchem3d.pubchem3d import digest_content
from dataset_pubchem3d.publication.redistribution import Terms
from geomclip_tools.publishing.dataset_checks import check_content, check_terms

FREE = Terms("geometry", "rdkit", "none needed (computed by RDKit)")
GEOM = Terms("geometry", "geom", "CC0 1.0 (not verified)")
CC_BY = Terms("text", "ChEBI", "https://creativecommons.org/licenses/by/4.0/")
UNKNOWN = Terms("text", "HSDB", "not stated")
FOLDER = Path("pubchem3d")


def test_free_rows_pass():
    check_terms(FOLDER, Counter({(FREE, CC_BY): 5, (FREE,): 2}))
    check_terms(FOLDER, Counter())


def test_other_rows_are_refused_and_counted_by_source_and_licence():
    counts = Counter({(FREE, CC_BY): 1000, (GEOM, CC_BY): 20, (FREE, UNKNOWN): 300, (GEOM, UNKNOWN): 4})
    with pytest.raises(ValueError, match="redistribute") as refusal:
        check_terms(FOLDER, counts)
    message = str(refusal.value)
    assert message.startswith("324 of the 1,324 rows of all configs of pubchem3d are not known to be free")
    assert (
        "304 x text of HSDB, licence 'not stated'; 24 x geometry of geom, licence 'CC0 1.0 (not verified)'" in message
    )
    assert "--text-licenses permissive" in message
    with pytest.raises(ValueError, match=r"304 of the 1,324 rows .*: 304 x text of HSDB, licence 'not stated'\. Build"):
        check_terms(FOLDER, counts, [GEOM.license])
    check_terms(FOLDER, counts, [GEOM.license, UNKNOWN.license])


def test_an_allowed_licence_has_to_be_stated_by_a_row():
    with pytest.raises(ValueError, match="--allow-licenses 'CC0': no row of pubchem3d states it"):
        check_terms(FOLDER, Counter({(GEOM, CC_BY): 20}), ["CC0"])


def test_changed_files_are_refused(tmp_path):
    file = tmp_path / "data" / "default" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rows")
    (tmp_path / "build_report.json").write_text(json.dumps({"sha256": {"default": digest_content(tmp_path)}}))
    check_content(tmp_path)
    file.write_bytes(b"other rows")
    with pytest.raises(ValueError, match=r"the files of the config default in .* are not those of the build"):
        check_content(tmp_path)
