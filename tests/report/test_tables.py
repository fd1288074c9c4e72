"""The tables: what stands out is supported by an interval, p and the number of problems are told, formats keep every cell."""

from dataclasses import replace

import pytest

from scdpo.evaluation.statistics import Estimate, paired_difference, wilson
from scdpo.report.markdown import markdown, markdown_page, table, tables
from scdpo.report.result import SetFigures, label, p_text, percent
from scdpo.report.result_tables import UNJUDGED
from scdpo.report.sections import TABLES
from scdpo.report.table import Table, supported_best
from scdpo.report.tables import all_tables
from tests.report.example import HOSTILE, N, full, located, made


def by_name(result) -> dict[str, Table]:
    return {each.name: each for each in all_tables(result)}


def bold(table: Table) -> list[str]:
    return [table.rows[row][column] for row, column in sorted(table.strong)]


def test_best_needs_every_comparison():
    """The highest value stands out only where it is compared to every other and beats each, whichever way that is told."""
    values = {name: Estimate(value, 0, 1, 100) for name, value in {"a": 0.5, "b": 0.6, "c": 0.7}.items()}
    wins, loses = Estimate(0.1, 0.05, 0.15, 100, 0.001), Estimate(-0.1, -0.15, -0.05, 100, 0.001)
    unclear, improbable = Estimate(0.1, -0.01, 0.2, 100, 0.04), Estimate(0.1, 0.05, 0.15, 100, 0.06)
    assert supported_best(values, {"c - a": wins, "b - c": loses}) == "c"
    assert supported_best(values, {"c - a": wins}) is None
    assert supported_best(values, {"c - a": wins, "c - b": unclear}) is None
    assert supported_best(values, {"c - a": wins, "c - b": improbable}) is None
    assert supported_best(values, {"c - a": wins, "c - b": loses}) is None
    assert supported_best({"a": values["a"]}, {}) is None, "one alone is not the best of anything"


def test_accuracy_is_bold_only_where_it_is_supported():
    """SCDPO's 15 of 20 against 12 of 20 on 400 problems is resolved against all; against 15 of 20 of one other it is not."""
    assert bold(by_name(made(scdpo=15))["main"]) == ["75.0 [70.5, 79.0]"]
    assert bold(by_name(made(scdpo=15, dpo_data_equal=15))["main"]) == []
    assert bold(by_name(made())["main"]) == []


def test_differences_are_bold_where_they_are_resolved():
    table = by_name(made(scdpo=15, dpo=15))["differences"]
    assert [row[0] for row in table.rows if row[1] in bold(table)] == [
        "DPO - SFT",
        "SCDPO - SFT",
        "SCDPO - RFT",
        "SCDPO - DPO (data-equal)",
    ]
    rounds = by_name(full())["rounds"]
    assert {rounds.rows[row][0] for row, _ in rounds.strong} == {"- start, points", "- SFT, points"}
    assert {column for _, column in rounds.strong} == {2}


@pytest.mark.parametrize("gain, best", [(0.05, ["45.0 [35.0, 55.0]", "45.0 [35.0, 55.0]", "0.450 [0.350, 0.550]"]), (0.01, [])])
def test_localisation_is_bold_only_where_it_is_supported(gain, best):
    """A gain of 0.05 leaves zero out of its interval of 0.02 to both sides, one of 0.01 does not."""
    named = by_name(replace(full(), localisation=located(gain)))
    assert bold(named["localisation"]) == best
    assert len(named["localisation-differences"].strong) == len(best)
    assert named["localisation"].rows[-1] == ("chance", "25.0", "20.0", "0.500")


def test_p_is_told():
    assert [p_text(p) for p in (None, 1.0, 0.0312, 0.001, 0.0004)] == ["", "1.000", "0.031", "0.001", "<0.001"]
    rows = by_name(made(scdpo=15))["differences"].rows
    assert [row[2] for row in rows] == ["1.000"] * 3 + ["<0.001"] * 4


def test_the_number_of_problems_is_told():
    """In every table of what models can do."""
    result = full()
    titles = {name: table.title for name, table in by_name(result).items()}
    together = ("main", "differences", "rounds", "error-kinds", "error-places")
    assert all(f"{N} held-out test problems" in titles[name] for name in together)
    assert "80 test problems" in titles["temperature"] and "80 test problems" in titles["temperature-garbled"]
    for name in ("localisation", "localisation-differences"):
        assert "160 solutions" in titles[name] and "120 test problems" in titles[name]
    for text in (tables(result), markdown_page(result)):
        assert f"{N} held-out test problems" in text


def test_each_test_set_has_a_column():
    """And all of them together one, whose figures are those of the main tables; the terminal shows them too."""
    wrong = {name: wilson(0, 7) for name in full().accuracy}
    nothing = {name: paired_difference([False] * 7, [False] * 7) for name in full().differences}
    result = replace(full(), sets={**full().sets, "hard": SetFigures(wrong, nothing)})
    named = by_name(result)
    assert named["sets"].head == ("method", f"gsm8k ({N})", f"mgsm_zh ({N})", "hard (7)", f"together ({N})")
    own = named["main"].rows[-1][1]
    assert named["sets"].rows[-1] == ("SCDPO", own, own, percent(wilson(0, 7)), own)
    gains = [row[1] for row in named["differences"].rows]
    assert [row[1:] for row in named["set-differences"].rows] == [(gain, gain, "+0.0 [+0.0, +0.0]", gain) for gain in gains]
    assert "hard (7)" in tables(result) and "together" not in tables(made())


def test_what_a_run_has_not_is_not_shown():
    names = [table.name for table in all_tables(made())]
    assert names == ["main", "differences", "error-kinds", "data", "training", "times"]
    assert by_name(made())["error-kinds"].note == UNJUDGED
    assert [table.name for table in all_tables(full())] == list(TABLES)
    assert "chance" not in tables(made()) and "chance 25.0" in tables(full())


def test_table_one_has_pairs_by_kind():
    rows = {row[0]: row[2:] for row in by_name(made())["main"].rows}
    assert rows["SFT"] == ("100", "", "") and rows["RFT"] == ("90", "", "")
    assert rows["DPO (data-equal)"] == ("", "150", "") and rows["SCDPO"] == ("", "90", "60")


def test_every_row_is_as_wide_as_the_head():
    for each in (*all_tables(full()), *all_tables(made())):
        assert {len(row) for row in each.rows} <= {len(each.head)}


def test_markdown_keeps_cells_apart():
    text = markdown(Table("x", "title", ("what", "n"), ((HOSTILE, "1"), ("a", "2")), strong=frozenset({(1, 1)})))
    grid = [line for line in text.splitlines() if line.startswith("|")]
    assert len(grid) == 4 and len({len(line) for line in grid}) == 1
    assert all(line.replace("\\|", "").count("|") == 3 for line in grid)
    assert "**2**" in text and "**1**" not in text


def test_tables_are_aligned():
    lines = table(["model", "n"], [("SFT", "1"), ("DPO (data-equal)", "1000")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == "| SFT              |    1 |"


def test_names_that_are_not_ours_stay():
    assert [label(name) for name in ("scdpo.2", "sft-log-prob", "org/my.model")] == [
        "SCDPO, round 2",
        "SFT log-prob",
        "org/my.model",
    ]
