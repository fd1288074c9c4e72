"""The figures: valid SVG for any viewer, with nothing but numbers in it, and no label over another."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from scdpo.report.figures import Figure, all_figures, light_style, style
from scdpo.report.result import LABELS
from scdpo.report.sections import FIGURES
from scdpo.report.svg import FONT, SMALL, text_width, tick_texts, ticks, wrapped
from tests.report.example import full, made

SVG = "{http://www.w3.org/2000/svg}"


def many_rounds():
    result = full()
    return replace(result, rounds=[replace(result.rounds[0], number=number) for number in range(1, 13)])


def nothing_right():
    """Of a run that found nothing: no answer is right, and there are no pairs."""
    result = made(**{name.replace("-", "_"): 0 for name in LABELS})
    pairs = {name: dict.fromkeys(counts, 0) for name, counts in result.pairs.items()}
    forking = {**result.forking, "by_fork": {}, "attempts": {1: 0}, "unused_by_reason": {"correct": 0}}
    return replace(result, pairs=pairs, forking=forking)


RESULTS = {"full": full(), "plain": made(), "many rounds": many_rounds(), "nothing right": nothing_right()}
CASES = [
    pytest.param(figure, id=f"{name}: {figure.name}") for name, result in RESULTS.items() for figure in all_figures(result)
]


@pytest.mark.parametrize("figure", CASES)
def test_a_file_is_valid_and_whole(figure: Figure):
    """It parses as XML, all its numbers are finite, and it needs no colours of a page."""
    text = figure.standalone()
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == figure.title
    assert float(root.get("width")) > 0 and float(root.get("height")) > 0
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert "var(" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("figure", CASES)
def test_no_label_lies_over_another_or_outside(figure: Figure):
    """Measured by a wide font: every text's box is within the picture and apart from every other one."""
    root = ElementTree.fromstring(figure.svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    boxes = []
    for node in root.iter("text"):
        small = set((node.get("class") or "").split()) & {"tick", "axis", "small", "in"}
        size = SMALL if small else FONT
        wide, x, y = text_width(node.text, size), float(node.get("x")), float(node.get("y"))
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[node.get("text-anchor")]
        boxes.append((left, left + wide, y - 0.75 * size, y + 0.2 * size, node.text))
    for left, right, top, bottom, words in boxes:
        assert left >= -1 and right <= width + 1 and top >= -1 and bottom <= height + 1, words
    for number, (left, right, top, bottom, words) in enumerate(boxes):
        for other in boxes[:number]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top, (words, other[4])


def test_every_class_has_a_colour():
    """What charts draw, figures.css knows (in0 has the colour of in)."""
    drawn = [names for figure in all_figures(full()) for names in re.findall(r'class="([^"]*)"', figure.svg)]
    used = {name for names in drawn for name in names.split()}
    assert used - {"in0"} <= set(re.findall(r"\.([a-z]+\d?)", style()))
    assert "var(" in style() and "var(" not in light_style() and "/*" not in light_style()


def test_what_a_run_has_not_is_not_drawn():
    assert [figure.name for figure in all_figures(made())] == [
        "accuracy",
        "differences",
        "pairs",
        "forks",
        "attempts",
        "unused",
        "sft-loss",
        "preference-loss",
        "times",
    ]
    whole = {figure.name for figure in all_figures(full())}
    assert whole <= set(FIGURES)
    assert {"rounds", "errors", "first-wrong-step", "temperature", "localisation"} <= whole


def test_differences_that_are_not_resolved_are_hollow():
    """Of the seven differences the four of SCDPO are resolved; the legend has one of each."""
    (figure,) = [figure for figure in all_figures(made(scdpo=15)) if figure.name == "differences"]
    assert figure.svg.count('class="dot unresolved"') == 3 + 1 and figure.svg.count('class="dot"') == 4 + 1


def test_bars_start_at_zero():
    """The bars' heights are to each other as the accuracies are: 12 to 15."""
    (figure,) = [figure for figure in all_figures(made(scdpo=15)) if figure.name == "accuracy"]
    heights = [float(node.get("height")) for node in ElementTree.fromstring(figure.svg).iter("rect")]
    assert heights[-1] / heights[0] == pytest.approx(15 / 12, rel=0.002)


def test_models_differ_by_dash_and_mark():
    """Not by colour alone."""
    (figure,) = [figure for figure in all_figures(full()) if figure.name == "temperature"]
    root = ElementTree.fromstring(figure.svg)
    shapes = {node.get("class"): node.get("d") for node in root.iter("path")}
    assert shapes.keys() == {"mark0", "mark4"} and len(set(shapes.values())) == 2
    dashes = dict(re.findall(r"\.line(\d) \{ stroke: [^}]*?(stroke-dasharray: [^;]+)?; \}", light_style()))
    assert len(set(dashes.values())) == 5


def test_ticks_are_round():
    assert ticks(0, 0.79) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert tick_texts(ticks(-0.3, 0.3, 6)) == ["-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"]
    assert tick_texts(ticks(0, 12000, 4)) == ["0", "5,000", "10,000"]


def test_long_labels_are_broken():
    assert wrapped("DPO (data-equal)", 110) == ["DPO", "(data-equal)"]
    lines = wrapped("x" * 500, 100)
    assert len(lines) == 3 and all(text_width(line) <= 100 for line in lines) and lines[-1].endswith("…")
    assert all(text_width(line) <= 100 for line in wrapped("数学" * 40, 100))
