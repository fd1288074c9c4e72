"""Records: whole blocks, torn ends owed again, nothing half-written."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.run.records import BlockRecords

NAMES = [f"p{n}" for n in range(7)]


def records(first: int, last: int) -> list[dict]:
    return [{"problem": name, "text": "é\n"} for name in NAMES[first:last]]


def blocks_of_three(path) -> BlockRecords:
    return BlockRecords(path, lambda: NAMES, len(NAMES), block=3)


def filled(path) -> BlockRecords:
    file = blocks_of_three(path)
    for first in (0, 3, 6):
        file.append(records(first, min(first + 3, 7)))
    return file


def test_what_was_appended_is_read(tmp_path):
    file = filled(tmp_path / "r.jsonl")
    assert list(file) == records(0, 7)
    assert file.is_complete()
    assert (file.blocks, file.size(1), file.size(2)) == (3, 3, 1)


@given(cut=st.integers(0, 200))
def test_a_torn_file_keeps_its_whole_blocks(tmp_path_factory, cut):
    """Cut anywhere, the file is repaired to its last whole block, and appending what is owed gives the same bytes."""
    path = tmp_path_factory.mktemp("torn") / "r.jsonl"
    whole = filled(path).path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    file = blocks_of_three(path)
    for block in range(file.repair(), 3):
        file.append(records(3 * block, min(3 * block + 3, 7)))
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"garbage\n", b'{"problem": "p6"}\n', b"[]\n", b'{"problem": "p3"'])
def test_what_is_not_the_next_record_is_owed(tmp_path, line):
    path = tmp_path / "r.jsonl"
    file = blocks_of_three(path)
    file.append(records(0, 3))
    whole = path.read_bytes()
    path.write_bytes(whole + line)
    assert file.repair() == 1
    assert path.read_bytes() == whole


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    file = blocks_of_three(path)
    file.append(records(0, 3))
    whole = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.append(records(3, 6))
    assert path.read_bytes() == whole
