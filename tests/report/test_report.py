"""The page and the tables: what a reader sees follows the intervals, and nothing in the data can break the page."""

import json
import re
from dataclasses import replace
from html import escape

import pytest

from benchmarks.page.material import made_result
from scdpo.evaluation.errors import ErrorBreakdown
from scdpo.evaluation.statistics import paired_difference, wilson
from scdpo.report.document import PACKED, packed_block, script_json
from scdpo.report.figures import all_figures
from scdpo.report.html_parts import figures_and_tables
from scdpo.report.markdown import markdown_page, tables
from scdpo.report.page import duration, html_page
from scdpo.report.result import DIFFERENCES, LABELS, Result, RoundFigures, TreeView
from scdpo.report.result_tables import UNJUDGED
from scdpo.report.table import Table
from scdpo.report.tables import all_tables
from scdpo.report.tree_browser import index_entry
from tests.report.conftest import block, unpacked
from tests.report.example import full

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
        assert re.search(r"SCDPO\W[^\n]*\b9\b[^\n]*\b6\b", text)


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
    assert page.count("<script") == page.count("</script>") == 3
    assert "<title>demo &lt;&amp;&gt;" in page
    assert json.loads(block(page, "tree-index"))[0]["question"] == HOSTILE
    (body,) = unpacked(block(page, "tree-bodies"))
    assert body["branches"][0]["steps"][0]["pieces"][0]["text"] == HOSTILE


@pytest.mark.parametrize("text", ["</script>", "<!--", "a\nb\u2028c", "half of a pair: \ud83c", "\x00"])
def test_data_survives_the_file(text):
    """A value comes back as it was from one line of a UTF-8 file, whatever its texts hold."""
    line = script_json({"a": text})
    assert "<" not in line and "\n" not in line
    assert json.loads(line.encode()) == {"a": text}
    many = [[number, text] for number in range(2 * PACKED + 1)]
    packed = block(packed_block("x", many), "x")
    assert packed.count("\n") == 2 and unpacked(packed) == many


def test_what_is_not_there_has_no_section(result):
    full = html_page(replace(result, credited=made_result(0, credited=2).credited))
    assert 'href="#tokens"' in full and 'href="#trees"' in full
    assert "Problems: 1, each" in full and "Solutions: 2. " in full
    bare = html_page(replace(result, trees=[]))
    assert 'href="#tokens"' not in bare and 'href="#trees"' not in bare and "VirtualList" not in bare


def test_what_is_left_out_is_told(result):
    page = html_page(replace(result, credited=made_result(0, credited=2).credited, more_trees=1500, more_credited=7))
    assert "Problems: 1 of 1,501, each" in page and "Solutions: 2 of 9. " in page


def test_the_page_has_every_table_and_figure():
    result = full()
    page = html_page(result)
    for table in all_tables(result):
        assert f'id="table-{table.name}"' in page
    for figure in all_figures(result):
        assert figure.svg in page and escape(figure.title) in page


def test_what_stands_out_in_a_table_does_so_on_the_page():
    table = Table("t", "A <title>.", ("model", "x", "y"), (("a", "1", "2"), ("b & c", "3", "")), "A note.", frozenset({(1, 1)}))
    html = figures_and_tables([], [table])
    assert '<th scope="row">b &amp; c</th><td><strong>3</strong></td><td></td>' in html
    assert html.count("<strong>") == 1 and "A &lt;title&gt;." in html and '<p class="note">A note.</p>' in html


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (754, "13 min"), (12240, "3.4 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_the_index_tells_where_branches_go_wrong(result):
    """Before the fork, at it and after it; a naive branch is neither."""
    (tree,) = result.trees

    def entry(fork: int, wrong: int | None) -> dict:
        return index_entry(replace(tree, branches=[{**tree.branches[0], "fork": fork, "wrong": wrong}]))

    told = {
        (fork, wrong): (entry(fork, wrong)["before"], entry(fork, wrong)["later"])
        for fork in (0, 2)
        for wrong in (None, 1, 2, 3)
    }
    assert [places for places, (before, _) in told.items() if before] == [(2, 1)]
    assert [places for places, (_, later) in told.items() if later] == [(2, 3)]
