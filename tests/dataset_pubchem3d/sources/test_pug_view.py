import gzip
import json

import pytest

from dataset_pubchem3d.sources.pubchem_annotations import PubChemAnnotations
from dataset_pubchem3d.sources.pubchem_compound_text import PubChemCompoundTexts

WHOLE = gzip.compress(json.dumps({"Annotations": {"Annotation": [], "Page": 1, "TotalPages": 1}}).encode())
DAMAGES = {
    "empty": b"",
    "no gzip": b"<html>",
    "truncated": WHOLE[:-12],
    "flipped": WHOLE[:60] + bytes(byte ^ 255 for byte in WHOLE[60:80]) + WHOLE[80:],
    "half a JSON": gzip.compress(b'{"Annotations": {"Annota'),
    "a list": gzip.compress(b"[1, 2]"),
    "a number": gzip.compress(b"7"),
    "no UTF-8": gzip.compress(b'{"Annotations": "\xff\xfe"}'),
    "a Fault": gzip.compress(b'{"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "busy"}}'),
    "Annotations is a list": gzip.compress(b'{"Annotations": []}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, damage):
    for source, name in ((PubChemAnnotations(), "page-00001"), (PubChemCompoundTexts(), "cid-000000007")):
        folder = tmp_path / source.name
        folder.mkdir()
        (folder / f"{name}.json.gz").write_bytes(damage)
        with pytest.raises(ValueError, match=rf"{name}\.json\.gz.*fetch"):
            list(source.read_records(folder))
