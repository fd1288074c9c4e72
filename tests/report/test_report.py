"""The page and the tables: what a reader sees follows the intervals, and nothing in the data can break the page."""

import json
import re
from dataclasses import replace

import pytest

from scdpo.evaluation.errors import ErrorBreakdown
from scdpo.evaluation.statistics import paired_difference, wilson
from scdpo.report.markdown import markdown_page, table, tables
from scdpo.report.page import html_page, script_json
from scdpo.report.result import DIFFERENCES, LABELS, Result, RoundFigures, TreeView
from scdpo.report.result_tables import UNJUDGED

HOSTILE = "</script><script>alert(1)</script> <b> $title & é"


@pytest.fixture
def result() -> Result:
    """A result of 200 problems in which SCDPO beats SFT and nothing else is resolved."""
    right = {name: [n % 10 < (7 if name == "sft" else 8) for n in range(200)] for name in LABELS}
    branch = {
        "fork": 1,
        "answer": "18",
        "steps": [{"pieces": [{"kind": "text", "text": HOSTILE}], "temperature": 1.1}],
        "wrong": 1,
        "kind": "wrong quantity",
    }
    pieces = [{"kind": "code", "text": "Ben = 12 + 5"}, {"kind": "output", "text": "17"}]
    steps = [{"pieces": pieces, "temperature": 1.0}, {"pieces": [{"kind": "text", "text": HOSTILE}], "temperature": None}]
    return Result(
        name="demo <&>",
        split="test",
        accuracy={name: wilson(sum(outcomes), 200) for name, outcomes in right.items()},
        differences={f"{b} - {a}": paired_difference(right[a], right[b]) for a, b in DIFFERENCES},
        errors={name: ErrorBreakdown(40, {1: 30, 2: 10}, {"wrong quantity": 40}, {}) for name in LABELS},
        pairs={
            "dpo": {"naive": 9, "step_controlled": 0, "total": 9},
            "dpo-data-equal": {"naive": 15, "step_controlled": 0, "total": 15},
            "scdpo": {"naive": 9, "step_controlled": 6, "total": 15},
            "rft": {"chosen_solutions": 9},
        },
        sampling={
            "problems": 10,
            "samples": 30,
            "by_outcome": {"correct": 20, "wrong": 10},
            "undecided_by_reason": {},
            "problems_with": {"both": 9, "only correct": 1},
            "accuracy": 0.66,
        },
        forking={
            "forks_tried": 9,
            "forks_gone_wrong": 6,
            "continuations": 40,
            "unused_by_reason": {"correct": 34},
            "by_fork": {1: 6},
            "attempts": {2: 6},
            "first_wrong_step_relative_to_fork": {"at": 6},
            "trunks_with_a_wrong_step": {"count": 0, "of": 9},
            "further_samples": 12,
        },
        stage_seconds={"sft": 10.0},
        recipe={"problems": {"sft": 100}},
        manifest={"packages": {}},
        training={"sft": [{"step": 1, "loss": 2.0}, {"step": 9, "loss": 1.0}], "dpo": [{"step": 1, "loss": 0.69}]},
        trees=[TreeView("p", HOSTILE, "17", steps, [branch], [{"fork": 2, "attempts": 5, "found": False}])],
    )


def test_words_follow_the_intervals(result):
    for text in (tables(result), markdown_page(result), html_page(result)):
        assert "SCDPO is better than SFT" in text
        assert "not resolved" in text
        assert "SCDPO is better than DPO" not in text
        assert "9 naive + 6 step-controlled pairs" in text


def test_rounds_are_told_where_there_are_several(result):
    """A round is called better than the one before only where the interval says so; one round is not spoken of."""
    sft, once, twice = ([n % 10 < tens for n in range(200)] for tens in (7, 8, 8))
    pairs, sampled = {"naive": 9, "step_controlled": 6, "total": 15}, wilson(120, 200)
    rounds = [
        RoundFigures(1, wilson(160, 200), paired_difference(sft, once), paired_difference(sft, once), pairs, sampled),
        RoundFigures(2, wilson(160, 200), paired_difference(once, twice), paired_difference(sft, twice), pairs, sampled),
    ]
    for page in (tables, markdown_page, html_page):
        text = page(replace(result, rounds=rounds))
        assert "better than SFT" in text
        assert "better than round 1" not in text
        assert text.count("9 naive + 6 step-controlled") >= 2
        assert "Sampled:" in text and "Sampled:" not in page(result)
    assert "Round 2 against the one before: +0.0 [" in markdown_page(replace(result, rounds=rounds))


def test_without_an_oracle_nothing_is_said_of_steps(result):
    """Errors that nobody judged are not shown as 0.0% of every kind."""
    unjudged = {name: replace(errors, by_step={}, by_kind={}) for name, errors in result.errors.items()}
    for text in (markdown_page(replace(result, errors=unjudged)), html_page(replace(result, errors=unjudged))):
        assert UNJUDGED in text
        assert "wrong arithmetic" not in text


def test_nothing_in_the_data_breaks_the_page(result):
    page = html_page(result)
    assert page.count("<script") == 2
    assert "<title>demo &lt;&amp;&gt;" in page
    embedded = re.search(r'<script type="application/json" id="trees">(.*?)</script>', page, re.S).group(1)
    assert json.loads(embedded)[0]["question"] == HOSTILE


def test_script_json_survives_a_closing_tag():
    assert "</" not in script_json({"a": "</script>"})
    assert json.loads(script_json({"a": "</script>"})) == {"a": "</script>"}


def test_tables_are_aligned():
    lines = table(["model", "n"], [("SFT", "1"), ("DPO (data-equal)", "1000")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == "| SFT              |    1 |"
