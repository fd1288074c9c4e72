"""The benchmark of grading: both graders judge the same. Speed itself is not what a test is for."""

import json

import pytest

from benchmarks.grading.__main__ import main
from benchmarks.grading.material import mathematical_items, numeric_items
from benchmarks.grading.speed import measure


def test_both_graders_agree():
    for items in (numeric_items(60), mathematical_items(60)):
        speed = measure("some", items)
        assert speed.agreeing >= 58
        assert speed.ours > 0 and speed.math_verify > 0


def test_a_file_is_read(tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    file.write_text(3 * (json.dumps({"gold": "1", "prediction": "#### 1"}) + "\n"))
    assert main(["--file", str(file), "--json", str(tmp_path / "speed.json")]) == 0
    assert "in.jsonl" in capsys.readouterr().out
    assert json.loads((tmp_path / "speed.json").read_text())["grading"][0]["items"] == 3


@pytest.mark.parametrize(("line", "message"), [("{}", "needs texts in gold and prediction"), ("", "is empty")])
def test_a_bad_file_is_named_in_one_line(tmp_path, capsys, line, message):
    file = tmp_path / "in.jsonl"
    file.write_text(line)
    assert main(["--file", str(file)]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("python -m benchmarks.grading: ") and str(file) in told and message in told
