"""Files and folders appear whole or not at all: a failure at any moment leaves what was there, and nothing beside it."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.cli.files import written
from scdpo.files import whole_file, whole_folder, write_files, write_whole

FAILURES = st.sampled_from([OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("no")])


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder, with what it says."""
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in folder.rglob("*") if file.is_file()}


@given(before=st.none() | st.text(), pieces=st.lists(st.text()), failure=FAILURES)
def test_a_failure_in_the_middle_leaves_the_old_file(before, pieces, failure):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if before is not None:
            write_whole(folder / "f", before)
        there = content(folder)
        with pytest.raises(type(failure)), whole_file(folder / "f") as file:
            file.writelines(pieces)
            file.flush()
            raise failure
        assert content(folder) == there
        with pytest.raises(type(failure)), written(str(folder / "f")) as write:
            for piece in pieces:
                write(piece)
            raise failure
        assert content(folder) == there
        write_whole(folder / "f", "".join(pieces))
        assert list(content(folder)) == ["f"]


@given(names=st.sets(st.sampled_from(["a", "b", "c/d"])), failure=FAILURES)
def test_a_failure_in_the_middle_leaves_no_folder(names, failure):
    """And what an earlier kill left half-made is neither in the way nor in the new folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "m"
        write_files(folder.with_name("m.tmp"), {"old": "half"}, ())
        with pytest.raises(type(failure)), whole_folder(folder) as into:
            write_files(into, dict.fromkeys(names, "x"), ())
            raise failure
        assert list(Path(place).iterdir()) == []
        with whole_folder(folder) as into:
            write_files(into, dict.fromkeys(names, "x"), ())
        assert list(Path(place).iterdir()) == [folder] and content(folder).keys() == names


def test_a_move_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "f", "old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "f", "new")
    assert content(tmp_path) == {"f": "old"}


def test_a_kill_leaves_the_old_file(tmp_path):
    file = tmp_path / "f"
    write_whole(file, "old")
    code = (
        "import os, signal; from pathlib import Path; from scdpo.files import whole_file\n"
        f"with whole_file(Path({str(file)!r})) as out:\n"
        "    out.write('ne'); out.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    write_whole(file, "new")
    assert content(tmp_path) == {"f": "new"}


def test_files_that_are_no_more_are_removed(tmp_path):
    write_files(tmp_path, {"a": "1", "b/c": "2"}, ())
    (tmp_path / "theirs").write_text("3")
    assert write_files(tmp_path, {"a": "4"}, ("a", "b/c")) == [tmp_path / "a"]
    assert content(tmp_path) == {"a": "4", "theirs": "3"}
