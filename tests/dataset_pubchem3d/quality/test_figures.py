def test_a_sound_folder_is_counted_and_has_no_faults(sound, measure):
    report = measure(sound)
    assert report["faults"] == []
    assert list(report["configs"]) == ["default", "captioning", "qm9"]
    default = report["configs"]["default"]
    assert (default["rows"], default["splits"]) == (8, {"train": 6, "validation": 1, "test": 1})
    assert (default["inchikeys"], default["first_blocks"]) == (7, 7)
    assert (default["distinct_texts"], default["rows_sharing_their_text"], default["duplicate_rows"]) == (5, 4, 2)
    assert (default["multi_fragment_rows"], default["rows_outside_dictionary"]) == (1, 1)
    assert default["rows_sharing_a_geometry"] == 2
    assert default["elements"] == {"C": 6, "H": 6, "O": 3, "Cl": 2, "N": 1, "Na": 1, "Ti": 1}
    assert default["words"]["rows_of"] == {1: 1, 2: 6, 3: 1}
    assert [default["words"][name] for name in ("min", "median", "max")] == [1, 2, 3]
    assert default["heavy_atoms"]["rows_of"] == {2: 1, 3: 2, 4: 1, 5: 1, 7: 3}
    assert default["text_license_url"] == {"None": 8}
    assert default["nulls"]["cid"] == 8
    assert default["match_level"] == {"inchikey": 8}


def test_a_config_without_texts_has_no_text_figures(sound, measure):
    qm9 = measure(sound)["configs"]["qm9"]
    assert (qm9["rows"], qm9["scaffolds"]) == (3, 0)
    assert not {"distinct_texts", "words", "duplicate_rows", "text_kind"} & set(qm9)
    assert "texts" not in qm9["shared_between_splits"]
