"""Several sources in one run: drawn together, tested apart, with worked solutions of their own source."""

import json
from collections import Counter

import pytest
from pydantic import ValidationError

from scdpo.errors import ProblemError
from scdpo.problems.jsonl import problem_lines
from scdpo.problems.messages import question_and_answer
from scdpo.problems.problem import NO_ANSWER, Problem
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.source import make_counted_splits, make_splits, prompt_template, read_source


def file_of(folder, name, count, shared=0):
    """A file of one's own with `count` problems, the first `shared` of which every such file has."""
    problems = [
        Problem(f"{n}", f"q{n}" if n < shared else f"{name} {n}", str(n), f"#### {n}", facts=None) for n in range(count)
    ]
    path = folder / f"{name}.jsonl"
    path.write_text(problem_lines(problems))
    return str(path)


def test_sources_are_drawn_together_and_tested_apart(tmp_path):
    a, b = file_of(tmp_path, "a", 40, shared=10), file_of(tmp_path, "b", 30, shared=10)
    tests = file_of(tmp_path, "t", 20), file_of(tmp_path, "u", 5), file_of(tmp_path, "a-again", 8, shared=4)
    settings = ProblemSettings(source=(a, b), test_source=tests, sft=7, pairs="all", dev=3, test=6)
    splits = make_splits(settings)
    assert [problem.set for problem in splits["test"][:6]] == ["t", "u", "a-again", "t", "u", "a-again"]
    assert Counter(problem.set for problem in splits["test"]) == {"t": 6, "u": 5, "a-again": 6}
    drawn = [*splits["sft"], *splits["dev"], *splits["pairs"]]
    assert (len(splits["sft"]), len(splits["dev"])) == (7, 3)
    assert len(drawn) == 40 + 30 - 10 - 4  # without what both files have, and without what is tested
    assert len({problem.question for problem in (*drawn, *splits["test"])}) == len(drawn) + 17
    assert len({problem.id for problem in drawn}) == len(drawn)
    assert {problem.set for problem in splits["pairs"]} == {"a", "b"}
    assert make_splits(settings) == splits


def test_of_a_test_source_with_a_test_split_that_is_taken(tmp_path):
    """A published set has both: named as the source and as a test source, its training part stays for pairs."""
    (tmp_path / "set").mkdir()
    for name, count in (("train", 30), ("test", 8)):
        lines = (f'{{"question": "{name} {n}", "answer": "{n}"}}\n' for n in range(count))
        (tmp_path / "set" / f"{name}.jsonl").write_text("".join(lines))
    both = str(tmp_path / "set")
    other = file_of(tmp_path, "other", 5)
    splits = make_splits(ProblemSettings(source=both, test_source=(both, other), sft=0, pairs="all", dev=0, test="all"))
    assert Counter(problem.question.split()[0] for problem in splits["test"]) == {"test": 8, "other": 5}
    assert Counter(problem.question.split()[0] for problem in splits["pairs"]) == {"train": 30}


def test_one_source_knows_no_sets(tmp_path):
    """Runs of one source stay what they were: no set, and ids as the file has them."""
    alone = make_splits(ProblemSettings(source=file_of(tmp_path, "a", 40), sft=10, pairs=10, dev=5, test=15))
    assert {problem.set for split in alone.values() for problem in split} == {None}
    assert {problem.id for split in alone.values() for problem in split} == {str(n) for n in range(40)}
    listed = make_splits(ProblemSettings(source=(str(tmp_path / "a.jsonl"),), sft=10, pairs=10, dev=5, test=15))
    assert listed == alone


def test_files_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "x").mkdir()
    both = file_of(tmp_path, "a", 5), file_of(tmp_path / "x", "a", 9, shared=2)
    splits = make_splits(ProblemSettings(source=both, sft=0, pairs="all", dev=0, test=1))
    assert {problem.set for split in splits.values() for problem in split} == {"a-1", "a-2"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sft": "all", "pairs": "all"}, "cannot be both sft and pairs"),
        ({"sft": 30, "pairs": 30}, "has 40 different problems for test, dev, sft, pairs and the recipe asks for 62"),
        ({"source": ("stories", "other.jsonl")}, "stories is generated"),
        ({"source": "stories", "pairs": "all"}, "makes problems without end"),
        ({"sft": 41, "sft_source": "{a}"}, "recipe asks for 41"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, fields, message):
    a = file_of(tmp_path, "a", 40)
    fields = {name: value.format(a=a) if isinstance(value, str) else value for name, value in fields.items()}
    settings = ProblemSettings(**({"source": a, "dev": 1, "test": 1, "pairs": 1} | fields))
    with pytest.raises(ProblemError, match=message):
        make_splits(settings)


def test_counts_are_numbers_or_all():
    with pytest.raises(ValidationError):
        ProblemSettings(sft="some")
    with pytest.raises(ValidationError):
        ProblemSettings(pairs=0)


def test_worked_solutions_of_another_source(tmp_path):
    """They may be of the pair problems, as in the paper, and never of the tested ones."""
    pairs, test = file_of(tmp_path, "a", 12), file_of(tmp_path, "t", 4)
    rows = [{"query": f"{name} {n}", "response": f"So {n}.\nThe answer is: {n}"} for name in "at" for n in range(4)]
    made = tmp_path / "made.json"
    made.write_text(json.dumps(rows))
    settings = ProblemSettings(
        source=pairs, test_source=test, sft_source=f"metamath:{made}", sft="all", pairs="all", dev=0, test="all"
    )
    splits = make_splits(settings)
    assert len(splits["pairs"]) == 12
    assert {problem.question for problem in splits["sft"]} == {f"a {n}" for n in range(4)}
    assert {problem.answer for problem in splits["sft"]} == {"0", "1", "2", "3"}


@pytest.fixture
def gsm8k_folder(tmp_path):
    """Forty training and ten test problems in the hub's layout; no question comes twice."""
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    for split, numbers in (("train", range(40)), ("test", range(100, 110))):
        rows = [{"question": f"g{n}", "answer": f"So.\n#### {n}"} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"gsm8k:{folder}"


TRAINING = {f"g{n}" for n in range(40)}


def questions(problems):
    return {problem.question for problem in problems}


def test_worked_solutions_leave_out_what_is_evaluated(tmp_path, gsm8k_folder):
    """Neither dev nor test problems are trained on, nor what sft_source keeps for its own test; the first two are counted."""
    settings = ProblemSettings(source=gsm8k_folder, sft_source=gsm8k_folder, sft="all", pairs="all", dev=8, test=2)
    splits, left_out = make_counted_splits(settings)
    assert questions(splits["sft"]) == TRAINING - questions(splits["dev"])
    assert left_out == 8
    asked = [{"role": "system", "content": "Solve it."}, {"role": "user", "content": splits["test"][0].question}]
    chat = tmp_path / "own.json"
    chat.write_text(json.dumps([{"messages": [*asked, {"role": "assistant", "content": "So."}]}]))
    hidden = settings.model_copy(update={"sft_source": f"messages:{chat}"})
    assert (make_counted_splits(hidden)[0]["sft"], make_counted_splits(hidden)[1]) == ([], 1)


def test_solutions_without_gold_answers_are_for_sft_alone(tmp_path, gsm8k_folder):
    """A problem without a gold answer would make every sample of it wrong."""
    worked = tmp_path / "own.json"
    worked.write_text(json.dumps([{"question": "Why?", "solution": "So."}, {"question": "How?", "solution": "Thus."}]))
    settings = ProblemSettings(source=gsm8k_folder, sft_source=str(worked), sft="all", pairs=1, dev=0, test=1)
    assert {(p.question, p.solution, p.answer) for p in make_splits(settings)["sft"]} == {
        ("Why?", "So.", NO_ANSWER),
        ("How?", "Thus.", NO_ANSWER),
    }
    with pytest.raises(ProblemError, match="has no gold answer to grade by"):
        make_splits(ProblemSettings(source=str(worked), sft=0, pairs=1, dev=0, test=1))


@pytest.mark.parametrize("source", ["", (), ("gsm8k", "")])
def test_a_source_has_a_name(source):
    with pytest.raises(ValidationError):
        ProblemSettings(source=source)


def test_conversations_are_worked_solutions(tmp_path):
    """Typed blocks as the authors publish them become marked blocks; plain texts stay what they are."""
    blocks = [
        {"type": "text", "content": "First"},
        {"type": "code", "content": "print(1)"},
        {"type": "execution", "content": "1"},
    ]
    turns = [
        {"role": "system", "content": []},
        {"role": "user", "content": [{"type": "text", "content": "How many?"}]},
        {"role": "assistant", "content": blocks},
    ]
    plain = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    parts = [{"role": role, "content": [{"type": "text", "text": role}]} for role in ("user", "assistant")]
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps({"messages": each}) + "\n" for each in (turns, plain, parts)))
    first, second, third = read_source(f"messages:{file}")[0]
    marked = "<|text|>First<|endofblock|><|code|>print(1)<|endofblock|><|execution|>1<|endofblock|>"
    assert (first.question, first.answer, first.solution) == ("How many?", NO_ANSWER, marked)
    assert (second.question, second.solution) == ("Why?", "So.")
    assert (third.question, third.solution) == ("user", "assistant")


@pytest.mark.parametrize(
    "messages",
    [[], [{"role": "user", "content": "a"}], [{"role": "tool", "content": "a"}], ["a"], [{"role": "user", "content": [3]}]],
)
def test_other_conversations_are_refused(messages):
    with pytest.raises(ValueError, match=r"not one question|not text, code"):
        question_and_answer(messages)


def test_one_prompt_for_all():
    """A run has one prompt: sources that are asked in different ways need one that is given."""
    assert prompt_template(("gsm8k", "svamp")) == prompt_template("gsm8k")
    with pytest.raises(ProblemError, match=r"set prompt\.template"):
        prompt_template(("gsm8k", "math"))
