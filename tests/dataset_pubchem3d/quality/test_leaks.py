ALANINE, ENANTIOMER = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"


def test_values_shared_between_splits_are_counted(sound, measure):
    shared = measure(sound)["configs"]["default"]["shared_between_splits"]
    assert shared["texts"] == {"train, validation": 0, "train, test": 1, "validation, test": 0}
    assert shared["scaffolds"] == {"train, validation": 1, "train, test": 0, "validation, test": 0}  # benzene
    assert set(shared["first_blocks"].values()) == set(shared["inchikeys"].values()) == {0}


def test_training_on_held_out_molecules_of_another_config_is_counted(sound, measure):
    assert measure(sound)["trained_on_here_and_held_out_there"] == {
        "default/train, captioning/test": 1,
        "captioning/train, default/test": 1,
        "qm9/train, default/test": 1,
        "qm9/train, captioning/test": 1,
    }


def test_molecules_of_one_connectivity_in_two_splits_are_a_leak(row, write, measure, faults):
    alanine, enantiomer = row(ALANINE), row(ENANTIOMER)
    report = measure(write("default", train=[row("CCO"), alanine], validation=[row("C")], test=[enantiomer]))
    block = alanine["inchikey"][:14]
    assert faults(report) == {
        ("default", "inchikey14 is the same in train and test"): (1, [block]),
        ("default", "split_group is the same in train and test"): (1, [block]),
    }
    shared = report["configs"]["default"]["shared_between_splits"]
    assert (shared["first_blocks"]["train, test"], shared["inchikeys"]["train, test"]) == (1, 0)
