"""Runs side by side: what is pooled, what is paired, and that only what holds over seeds is called resolved."""

import pytest

from scdpo.evaluation.pooling import pooled_difference
from scdpo.evaluation.statistics import Estimate, paired_difference, unpaired_difference, wilson
from scdpo.report.comparison import RunFigures, compare, differences_of, letters
from scdpo.report.comparison_page import html_page, markdown_page
from scdpo.report.comparison_tables import TABLES, between_call, comparison_tables, findings
from scdpo.report.result import LABELS

ACCURACY = {"sft": 60, "rft": 66, "dpo": 64, "dpo-data-equal": 65, "scdpo": 70}


def run(name, seed=1, beta=0.1, gain=0, problems=0, **more):
    """A run of 100 problems, numbered from `problems` on, whose models have ACCURACY + gain right answers."""
    right = {
        model: {f"problem {problems + number}": number < share + gain for number in range(100)}
        for model, share in ACCURACY.items()
    }
    return RunFigures(name, {"run.seed": seed, "problems.seed": problems}, {"training.beta": beta}, right, **more)


def table(comparison, name):
    return next(each for each in comparison_tables(comparison) if each.name == name)


def test_seeds_of_one_recipe_are_pooled():
    runs = [run("a", 1), run("b", 2, gain=3), run("c", 3, gain=-2)]
    comparison = compare(runs, "test")
    (group,) = comparison.groups
    assert (group.name, group.runs, group.varied, comparison.differing) == ("A", runs, ["run.seed"], {})
    pooled = pooled_difference([each.right["sft"] for each in runs], [each.right["scdpo"] for each in runs])
    assert group.differences["scdpo - sft"] == pooled and pooled.is_resolved
    assert "Recipe A over 3 seeds, SCDPO - SFT: +10.0" in findings(comparison)
    rows, note = table(comparison, "pooled-differences").rows, table(comparison, "pooled-differences").note
    assert ("A: SCDPO - SFT", "+10.0", "SCDPO is better than SFT") in [(row[0], row[1].split()[0], row[-1]) for row in rows]
    assert (
        "3 runs that differ in run.seed, on the same problems. Of other training problems its intervals do not speak." in note
    )
    assert not comparison.between


def test_one_seed_resolves_nothing():
    """However far apart two recipes with one run each lie, it is said of their models."""
    comparison = compare([run("a"), run("b", beta=0.5, gain=20)], "test")
    assert comparison.differing == {"training.beta": [0.1, 0.5]}
    assert not any(pooled.is_resolved for group in comparison.groups for pooled in group.differences.values())
    for each in comparison.between:
        assert each.estimate.is_resolved and not each.is_resolved and each.basis == "paired"
        assert between_call(each) == "better, of two models trained once"
    assert not any(each.strong for each in comparison_tables(comparison))
    assert "better, of two models trained once" in findings(comparison)


def test_the_same_seeds_are_paired_over_seeds():
    """Two recipes whose SFT models differ much by seed and little by recipe: the pairs see it."""
    first = [run(f"a{seed}", seed, gain=spread) for seed, spread in enumerate((-20, 0, 20))]
    second = [run(f"b{seed}", seed, beta=0.5, gain=spread + 8) for seed, spread in enumerate((-20, 0, 20))]
    comparison = compare([*first, *second], "test")
    for each in comparison.between:
        pairs = [[one.right[each.model] for one in runs] for runs in (first, second)]
        assert (each.basis, each.seeds, each.estimate) == ("paired", (3, 3), pooled_difference(*pairs).estimate)
        assert between_call(each) == "B is better than A" and each.is_resolved
    assert {row for row, _ in table(comparison, "between").strong} == set(range(len(ACCURACY)))
    assert "| : |" not in markdown_page(comparison)  # the rule of a column without texts, here of p


def test_only_seeds_that_both_have_are_paired():
    first = [run(f"a{seed}", seed) for seed in (1, 2, 3)]
    second = [run(f"b{seed}", seed, beta=0.5) for seed in (2, 3, 4)]
    assert {(each.basis, each.seeds) for each in compare([*first, *second], "test").between} == {("paired", (2, 2))}


@pytest.mark.parametrize(
    ("other", "basis", "paired"),
    [
        (run("b", 2, beta=0.5), "paired, other seeds", True),
        (run("b", beta=0.5, problems=100), "other problems", False),
        (run("b", beta=0.5, problems=50), "problems in part the same", False),
    ],
)
def test_what_a_difference_rests_on(other, basis, paired):
    each = compare([run("a"), other], "test").between[-1]
    assert each.basis == basis and (each.estimate.p is not None) == paired
    right = [list(one.right["scdpo"].values()) for one in (run("a"), other)]
    unpaired = unpaired_difference(wilson(70, 100), wilson(70, 100))
    assert each.estimate == (paired_difference(*right) if paired else unpaired)


def test_one_seed_against_several_is_not_judged():
    comparison = compare([run("a", 1), run("b", 2), run("c", 3, beta=0.5, gain=25)], "test")
    for each in comparison.between:
        assert each.basis == "other seeds" and each.seeds == (2, 1)
        assert between_call(each) == "not judged: B has one seed" and not each.is_resolved


def test_later_rounds_have_their_columns():
    twice = run("b", beta=0.5)
    twice = RunFigures("b", twice.seeds, twice.fields, {**twice.right, "scdpo.2": twice.right["rft"]})
    comparison = compare([run("a"), twice], "test")
    assert comparison.models == [*LABELS, "scdpo.2"]
    assert table(comparison, "accuracy").head[-1] == "SCDPO, round 2"
    assert table(comparison, "accuracy").rows[0][-1] == "" and table(comparison, "accuracy").rows[1][-1] != ""
    assert table(comparison, "differences").head[-1] == "SCDPO, round 2 - SCDPO"
    assert differences_of(["sft", "scdpo", "scdpo.2", "scdpo.3"]) == [
        ("sft", "scdpo"),
        ("scdpo", "scdpo.2"),
        ("scdpo.2", "scdpo.3"),
    ]


def test_what_is_not_known_has_no_table():
    names = {each.name for each in comparison_tables(compare([run("a"), run("b", beta=0.5)], "test"))}
    assert names < set(TABLES)
    assert names == {"runs", "recipes", "accuracy", "differences", "between"}
    log = [
        {"step": 1, "loss": 0.6, "naive/rewards/margin": 0.25},
        {"pairs": 12, "steps": 3, "first_loss": 0.7, "last_loss": 0.6},
    ]
    known = run("a", training={"dpo": log}, stage_seconds={"sft": 7.2}, localisation={"scdpo": Estimate(0.6, 0.5, 0.7, 90)})
    comparison = compare([known, run("b", beta=0.5)], "test")
    assert table(comparison, "trainings").rows == (("DPO: a", "12", "3", "0.700", "0.600", "0.250", "", "", ""),)
    assert table(comparison, "localisation").rows == (("problems", "90", ""), ("SCDPO", "60.0 [50.0, 70.0]", ""))
    assert table(comparison, "times").rows == (("sft", "7", ""),)


def test_names_cannot_break_the_page():
    comparison = compare([run("<script>alert(1)</script> $title |"), run("b", beta=0.5)], "test")
    page = html_page(comparison)
    assert page.count("<script") == 1 and "alert(1)</script>" not in page and "://" not in page
    assert "\\|" in markdown_page(comparison)


def test_letters():
    assert [letters(number) for number in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
