import numpy as np

from dataset_pubchem3d.quality.findings import SHOWN_IDS, Findings, hash_values


def test_findings_of_parts_add_up():
    one, two = Findings(), Findings()
    one.counts["atoms"].update([3, 3])
    two.counts["atoms"].update([3, 5])
    one.add_hashes("texts", [b"same", b"other"])
    two.add_hashes("texts", [b"same"])
    one.add_fault("why", [f"row {index}" for index in range(SHOWN_IDS - 1)])
    two.add_fault("why", ["next", "one too many"])
    two.add_fault("why not", [])
    whole = Findings.merge([one, two])
    assert whole.counts["atoms"] == {3: 3, 5: 1}
    assert whole.counts["faults"] == {"why": SHOWN_IDS + 1}
    assert whole.faults == {"why": [*one.faults["why"], "next"]}
    hashes, counts = whole.count_hashes("texts")
    assert dict(zip(hashes, counts)) == dict(zip(hash_values([b"same", b"other"]), (2, 1)))
    assert whole.count_hashes("scaffolds")[0].dtype == np.uint64
    assert len(whole.count_hashes("scaffolds")[0]) == 0
