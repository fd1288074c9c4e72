"""The figures of several test sets in one run."""

import json

import pytest

from scdpo.errors import RecipeError
from scdpo.problems.problem import Problem
from scdpo.run.directory import SCHEMA
from scdpo.run.material import check_splits
from scdpo.run.prepare import prepare
from scdpo.run.recipe import build_recipe
from scdpo.run.results import set_figures


def test_each_set_has_its_own_figures():
    """Of 3 problems of a and 2 of b: sft has 1 and 2 right, scdpo 3 and 0."""
    right = {"sft": [True, True, False, True, False], "scdpo": [True, False, True, False, True]}
    figures = set_figures(["a", "b", "a", "b", "a"], right)
    assert list(figures) == ["a", "b"]
    assert [figures["a"].accuracy[model].value for model in right] == [1 / 3, 1.0]
    assert [figures["b"].accuracy[model].value for model in right] == [1.0, 0.0]
    assert figures["b"].differences["scdpo - sft"].value == -1.0
    assert figures["b"].accuracy["sft"].n == 2


def test_one_set_has_no_figures_of_its_own():
    assert set_figures([None, None], {"sft": [True, False]}) == {}


def test_marked_solutions_need_their_format():
    """Without it the marks would be learned as plain text."""
    problem = Problem("a", "Why?", "1", "<|text|>So.<|endofblock|><|code|>print(1)<|endofblock|><|execution|>1<|endofblock|>")
    splits = {"sft": [problem], "pairs": [problem], "dev": [], "test": [problem]}
    with pytest.raises(RecipeError, match=r'problem a is in marked blocks; set code\.format = "blocks"'):
        check_splits(build_recipe({}, "r", {}), splits)
    check_splits(build_recipe({"code": {"format": "blocks"}}, "r", {}), splits)


def test_a_run_counts_the_solutions_that_it_leaves_out(tmp_path):
    """In its manifest: here one question of the worked solutions is tested. A run without sft_source has no such entry."""
    for name, numbers in (("a", range(20)), ("t", range(90, 93)), ("made", (1, 2, 91))):
        rows = [{"question": f"q{n}", "answer": n, "solution": f"#### {n}"} for n in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"source": "a", "test_source": "t", "sft_source": "made"}
    words = {f"problems.{field}": str(tmp_path / f"{name}.jsonl") for field, name in fields.items()}
    words |= {"problems.sft": "all", "problems.pairs": "all", "problems.dev": "0", "problems.test": "all"}
    run = prepare(tmp_path / "run", None, words)
    assert run.manifest()["sft_source"] == {"taken": 2, "question_is_evaluated": 1}
    assert [len(run.problems(split)) for split in ("sft", "pairs", "test")] == [2, 20, 3]
    words |= {"problems.sft_source": "", "problems.sft": "3"}
    assert prepare(tmp_path / "other", None, words).manifest() == {"schema": SCHEMA}
