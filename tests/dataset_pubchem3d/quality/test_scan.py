import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.mark.parametrize("num_proc", [1, 2])
def test_neither_batches_nor_processes_change_anything(sound, monkeypatch, num_proc, measure):
    whole = measure(sound)
    monkeypatch.setattr("dataset_pubchem3d.quality.files.BATCH_ROWS", 2)
    assert measure(sound, num_proc=num_proc) == whole


def test_files_with_other_columns_are_a_fault_and_are_not_measured(tmp_path, row, write, measure):
    write("default", train=[row("CCO")], test=[row("CCN")])
    file = tmp_path / "data" / "default" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    flat = pa.array([[0.0, 1.0, 2.0]], pa.list_(pa.float32()))
    place = table.schema.get_field_index("positions")
    pq.write_table(table.drop_columns(["text"]).set_column(place - 1, "positions", flat), file)
    report = measure(tmp_path, sample=5)
    assert [fault["fault"].split(";")[0] for fault in report["faults"]] == [
        "the file has no column text",
        "positions is list<element: float>, not nested lists of numbers",
    ]
    assert report["configs"]["default"]["splits"] == {"train": 1, "test": 0}
    assert len(report["geometry_comparison"]["molecules"]) == 1


def test_a_file_without_rows_is_not_a_fault(row, write, measure):
    report = measure(write("default", train=[row("CCO")], test=[]))
    assert report["faults"] == []
    assert report["configs"]["default"]["splits"] == {"train": 1, "test": 0}
