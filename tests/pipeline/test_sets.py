"""The figures of several test sets in one run."""

from scdpo.pipeline.results import set_figures


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
