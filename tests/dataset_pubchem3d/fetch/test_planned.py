from dataset_pubchem3d.fetch.planned import Download, expect_file


def test_a_file_is_expected_until_it_is_there(tmp_path):
    file = tmp_path / "table.gz"
    assert expect_file(file, 100, "by the server", 2) == Download("table.gz", 100, 2, "by the server")
    assert expect_file(file, 100, "").missing_bytes == 100
    file.write_bytes(bytes(90))  # a newer version may have another size
    found = expect_file(file, 100, "", 2)
    assert (found.is_there, found.requests, found.missing_bytes) == (True, 0, 0)


def test_a_part_is_not_fetched_again(tmp_path):
    (tmp_path / "table.gz.part").write_bytes(bytes(30))
    found = expect_file(tmp_path / "table.gz", 100, "")
    assert (found.is_there, found.bytes_there, found.missing_bytes) == (False, 30, 70)
    assert expect_file(tmp_path / "table.gz", 20, "").missing_bytes == 0  # it has grown since


def test_an_unknown_size_stays_unknown(tmp_path):
    (tmp_path / "table.gz.part").write_bytes(bytes(30))
    assert expect_file(tmp_path / "table.gz", None, "").missing_bytes is None
