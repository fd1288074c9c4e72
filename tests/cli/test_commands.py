"""`scdpo grade`, `scdpo steps`, `scdpo execute` and `scdpo doctor`, as they are typed."""

import json

import pytest

from scdpo.cli.main import main

LINES = [
    {"gold": "36", "prediction": "36.0", "id": 1, "more": {"a": [1]}},
    {"gold": 36, "prediction": "35 apples", "id": 2},
    {"gold": r"\sqrt{2} + x", "prediction": r"x + \frac{2}{\sqrt{2}}", "id": 3},
    {"gold": "x < y", "prediction": "y > x", "id": 4},
    {"gold": "5", "prediction": "9^{9^{9^9}}", "id": 5},
    {"gold": "Evelyn", "prediction": 7, "id": 6},
]
VERDICTS = ["correct", "wrong", "correct", "correct", "undecided", "undecided"]


def write(file, lines) -> str:
    file.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return str(file)


def read(file) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_grade_writes_every_line_back(workers, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["grade", write(tmp_path / "in.jsonl", LINES), "--out", str(out), "--workers", workers]) == 0
    graded = read(out)
    assert [line["verdict"] for line in graded] == VERDICTS
    assert graded[0].items() >= LINES[0].items()
    assert [line["id"] for line in graded] == [1, 2, 3, 4, 5, 6]
    assert graded[1]["extracted"] == "35 apples" and graded[1]["rule"] == "whole text: unit" and graded[1]["reason"]
    assert all((line["reason"] == "") == (line["verdict"] == "correct") for line in graded)
    shown = capsys.readouterr().out
    assert "50.0%" in shown and "a power tower" in shown and "words against a number" in shown


def test_fields_and_whole_solutions(tmp_path, capsys):
    lines = [{"answer": "So 6*6\n#### 36", "model": {"x": 1}, "response": "It is 30, no.\nThe answer is: 36"}]
    out = tmp_path / "out.jsonl"
    words = ["--gold", "answer", "--prediction", "response", "--full-text", "--out", str(out)]
    assert main(["grade", write(tmp_path / "in.jsonl", lines), *words]) == 0
    assert read(out)[0]["rule"] == "answer is: same text"


BAD = [
    b"{broken\n",
    b'{"gold": "\xff\xfe", "prediction": "1"}\n',
    {"prediction": "1"},
    {"gold": "", "prediction": "1"},
    {"gold": None, "prediction": "1"},
    {"gold": "1"},
    {"gold": "1", "prediction": ["1"]},
    {"gold": True, "prediction": "1"},
    b'{"gold": NaN, "prediction": "1"}\n',
    b"[1]\n",
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_bad_line_is_named(number, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    file = write(tmp_path / "in.jsonl", [LINES[0], BAD[number]])
    assert main(["grade", file, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"scdpo: {file}:2: ") and "--keep-going" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "in.jsonl"]


def test_keep_going_grades_the_rest(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    file = write(tmp_path / "in.jsonl", [*BAD, *LINES])
    assert main(["grade", file, "--out", str(out), "--keep-going"]) == 0
    graded = read(out)
    assert [line["verdict"] for line in graded] == ["undecided"] * len(BAD) + VERDICTS
    assert all(line["reason"].startswith("not graded: ") for line in graded[: len(BAD)])
    captured = capsys.readouterr()
    assert [line.split(": ")[1] for line in captured.err.splitlines()] == [f"{file}:{n + 1}" for n in range(len(BAD))]
    assert "10 lines could not be graded" in captured.out


def test_files_that_are_not_there_or_empty(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "gone.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["grade", write(tmp_path / "empty.jsonl", [])]) == 2
    assert "is empty" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "empty.jsonl"), "--glod", "x"]) == 2
    assert 'did you mean "--gold"?' in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "empty.jsonl"), "--run.seed", "1"]) == 2
    assert "do not know" in capsys.readouterr().err


def test_lone_surrogates_can_be_written(tmp_path):
    out = tmp_path / "out.jsonl"
    file = write(tmp_path / "in.jsonl", [b'{"gold": "1", "prediction": "1\\ud800"}\n'])
    assert main(["grade", file, "--out", str(out)]) == 0
    assert read(out)[0]["verdict"] == "undecided"


def test_steps_of_a_text_file(tmp_path, capsys):
    file = tmp_path / "solution.txt"
    file.write_text("First 3 + 4 = 7.\nThen 7 * 2 = 14.\n#### 14\nThe answer is: 14", encoding="utf-8")
    assert main(["steps", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "3 steps, format lines (found), 1 forks" in shown
    assert "answer #### 14" in shown and shown.count("── fork") == 1
    assert main(["steps", str(file), "--format", "sentences"]) == 0
    assert "format sentences" in capsys.readouterr().out


def test_steps_of_lines_with_a_tokenizer(tmp_path, capsys, story_tokenizer, story_problems):
    model = tmp_path / "model"
    story_tokenizer.save_pretrained(model)
    file = write(tmp_path / "s.jsonl", [problem.to_json() for problem in story_problems[:3]])
    assert main(["steps", file, "--tokenizer", str(model), "--line", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"{file}:2: " in shown and "tokens" in shown and "── fork 1, after token" in shown
    assert main(["steps", file, "--most", "1"]) == 0
    assert "2 more solutions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "words", "message"),
    [
        ([{"x": 1}], [], "no field solution, response"),
        ([{"solution": "a"}], ["--field", "gone"], 'no text in field "gone"'),
        ([{"solution": "a"}], ["--line", "9"], "has no line 9"),
        ([b"{\n"], [], "s.jsonl:1: broken JSON"),
    ],
)
def test_steps_of_bad_lines(lines, words, message, tmp_path, capsys):
    assert main(["steps", write(tmp_path / "s.jsonl", lines), *words]) == 2
    assert message in capsys.readouterr().err


SESSIONS = [
    {"id": "state", "blocks": ["x = 2\nprint(x)", "x + 1"]},
    {"id": 7, "blocks": ["import os\nos._exit(0)", "print(1)"]},
    {"id": "loop", "blocks": ["while True: pass", "print('after')"]},
    {"id": "error", "blocks": ["1 / 0", "import sympy\nsympy.sqrt(8)"]},
    {"id": "long", "blocks": ["#" * 3000, "print(2)"]},
    {"id": "none", "blocks": []},
    {"blocks": ["print('no id')"]},
]


def test_execute_answers_every_block_in_order(tmp_path, capsys):
    """One output a block and one line a line, with the limits as they are typed; blocks after a dead session are killed."""
    out = tmp_path / "out.jsonl"
    words = ["--seconds", "3", "--code-characters", "2000", "--jobs", "2"]
    assert main(["execute", write(tmp_path / "in.jsonl", SESSIONS), "--out", str(out), *words]) == 0
    lines = read(out)
    assert [line["id"] for line in lines] == ["state", 7, "loop", "error", "long", "none", 7]
    assert [[output["status"] for output in line["outputs"]] for line in lines] == [
        ["ok", "ok"],
        ["killed", "killed"],
        ["timeout", "ok"],
        ["error", "ok"],
        ["refused", "ok"],
        [],
        ["ok"],
    ]
    assert [[output["text"] for output in line["outputs"]] for line in lines[:1]] == [["2", "3"]]
    assert lines[2]["outputs"][1]["text"] == "after" and lines[3]["outputs"][1]["text"] == "2*sqrt(2)"
    assert lines[2]["outputs"][0]["seconds"] >= 3
    shown = capsys.readouterr().out
    assert "7 lines" in shown and "2 killed" in shown and "seccomp" in shown


def test_execute_without_out_prints_the_lines(tmp_path, capsys):
    assert main(["execute", write(tmp_path / "in.jsonl", SESSIONS[:1])]) == 0
    assert [output["text"] for output in json.loads(capsys.readouterr().out)["outputs"]] == ["2", "3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [({"id": 1}, 'no list of texts in "blocks"'), ({"blocks": ["a", 1]}, "no list of texts"), (b"{broken\n", "broken JSON")],
)
def test_execute_names_the_line_that_has_no_blocks(line, message, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["execute", write(tmp_path / "in.jsonl", [SESSIONS[0], line]), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "in.jsonl:2:" in error and message in error and not out.exists()


def test_execute_refuses_limits_out_of_bounds(tmp_path, capsys):
    assert main(["execute", write(tmp_path / "in.jsonl", SESSIONS), "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err


def test_doctor_names_every_layer(capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for layer in ("ordinary user", "resource limits", "Landlock", "seccomp", "bubblewrap", "self-test"):
        assert layer in shown
    assert "can be run here" in shown
