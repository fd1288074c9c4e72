"""Problems from files and from reasoning-gym: what is read, and what is said of what cannot be."""

import json

import pytest

from scdpo.errors import ProblemError
from scdpo.grading.grade import grade
from scdpo.problems.jsonl import problem_lines
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.source import make_splits, read_source


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        file = tmp_path / "problems.jsonl"
        file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
        return file

    return write


def read_all(file) -> list:
    return read_source(str(file))[0]


def question(n: int, **more) -> dict:
    return {"question": f"What is {n} + 1?", "answer": n + 1, **more}


def test_reading_and_writing_again_changes_nothing(write, tmp_path, story_problems):
    again = tmp_path / "again.jsonl"
    again.write_text(problem_lines(story_problems), encoding="utf-8")
    assert [problem.to_json() for problem in read_all(again)] == [problem.to_json() for problem in story_problems]


def test_numbers_and_missing_ids_are_taken(write):
    first, second = read_all(write(question(1), "", question(2, id=7, solution="2 + 1 = 3\n#### 3")))
    assert (first.id, first.answer) == ("line-1", "2")
    assert (second.id, second.solution) == ("7", "2 + 1 = 3\n#### 3")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"question": "a", "answer": "1"}', '{"question": '], r"problems\.jsonl:2: broken JSON"),
        ([{"question": "a"}], r'problems\.jsonl:1: no "answer"; every problem needs a gold answer'),
        ([{"answer": "1"}], r'problems\.jsonl:1: no "question"'),
        ([{"question": "a", "answer": None}], r'problems\.jsonl:1: no "answer"'),
        ([question(1, id="x"), question(2, id="x")], r'problems\.jsonl:2: id "x" is already at .*problems\.jsonl:1'),
        ([{"question": "a", "answer": float("nan")}], r'problems\.jsonl:1: no "answer"'),
        ([question(1, solution=5)], r'problems\.jsonl:1: "solution" is not text'),
        (
            [question(1, facts={"equations": {"Ben": [1, "+", "2", 3]}})],
            r'problems\.jsonl:1: "facts" that the oracle cannot read',
        ),
        (["[1]"], r"problems\.jsonl:1: not a JSON object"),
        ([""], "no problems in this file"),
    ],
)
def test_bad_files_are_named_with_their_line(write, lines, message):
    with pytest.raises(ProblemError, match=message):
        read_all(write(*lines))


def test_a_missing_or_binary_file(tmp_path):
    with pytest.raises(ProblemError, match=r"cannot read problems from .*gone\.jsonl: No such file"):
        read_all(tmp_path / "gone.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match="not UTF-8"):
        read_all(tmp_path / "binary")


def test_a_file_is_cut_without_overlap(write):
    settings = ProblemSettings(source=str(write(*map(question, range(20)))), sft=5, pairs=6, dev=3, test=6)
    splits = make_splits(settings)
    assert sorted(p.question for split in splits.values() for p in split) == sorted(f"What is {n} + 1?" for n in range(20))


def test_a_test_source_takes_its_questions_from_the_rest(write, tmp_path):
    """Every split still gets what the recipe asks for, the test problems are each there once, and none serves twice."""
    rest = write(*map(question, range(20)))
    test = tmp_path / "test.jsonl"
    test.write_text("\n".join(json.dumps(question(n)) for n in (3, 4, 3, 50)))
    settings = ProblemSettings(source=str(rest), test_source=str(test), sft=5, pairs=6, dev=3, test=9)
    splits = make_splits(settings)
    assert [len(splits[name]) for name in ("sft", "pairs", "dev")] == [5, 6, 3]
    assert [problem.question for problem in splits["test"]] == [f"What is {n} + 1?" for n in (3, 4, 50)]
    assert len({problem.question for split in splits.values() for problem in split}) == 17
    with pytest.raises(ProblemError, match="has 18 different problems for dev, sft, pairs and the recipe asks for 19"):
        make_splits(settings.model_copy(update={"sft": 10}))


def test_a_file_with_too_few_problems(write):
    settings = ProblemSettings(source=str(write(*map(question, range(5)))), sft=5, pairs=6, dev=3, test=6)
    with pytest.raises(ProblemError, match="has 5 different problems for test, dev, sft, pairs and the recipe asks for 20"):
        make_splits(settings)


def test_gsm_symbolic_has_worked_answers():
    """At most a few worked answers end otherwise than in the gold answer; compared as numbers, all should agree."""
    splits = make_splits(ProblemSettings(source="gsm_symbolic", sft=100, pairs=50, dev=5, test=50))
    graded = [grade(problem.solution, problem.answer).outcome for problem in splits["sft"]]
    assert graded.count("correct") >= 97
    questions = [problem.question for split in splits.values() for problem in split]
    assert len(set(questions)) == len(questions) == 205
