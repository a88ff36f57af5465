import pytest

from tradehub.demo.access import Access, read_access, write_access


def test_what_was_written_is_read_back(tmp_path):
    access = Access(url="https://localhost:5001", token="th_x", accounts={"A1": "key"})

    write_access(tmp_path / "var/demo.json", access)

    assert read_access(tmp_path / "var/demo.json") == access


def test_only_its_owner_can_read_it_and_nothing_else_is_left(tmp_path):
    for _ in range(2):
        write_access(tmp_path / "demo.json", Access())

    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "demo.json"]


@pytest.mark.parametrize("text", ["", "not json", "[]", "null", '{"unknown": 1}'])
def test_a_file_that_is_no_use_counts_as_none(tmp_path, text):
    (tmp_path / "demo.json").write_text(text)

    assert read_access(tmp_path / "demo.json") == Access()


def test_no_file_is_a_first_run(tmp_path):
    assert read_access(tmp_path / "demo.json") == Access()
