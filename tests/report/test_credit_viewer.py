"""The credit viewer in a browser: every character once and whole, every value on the pointer and on the keys, readable inks."""

from dataclasses import replace

import pytest

from benchmarks.page.material import made_result
from scdpo.report.credit_page import credit_page
from tests.report.conftest import SCHEMES, WIDTHS, keep_screenshot

expect = pytest.importorskip("playwright.sync_api").expect
TEXT_OF_COLUMN = """lines => [...lines.querySelectorAll(".tokens")].map(node => {
  const copy = node.cloneNode(true);
  copy.querySelectorAll(".newline, .end").forEach(mark => mark.remove());
  return copy.textContent;
}).join("")"""
LOWEST_CONTRAST = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = colour => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(part => part / 255)
      .map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return Math.min(...[...document.querySelectorAll(".unit.high, .unit.low, .unit.deep")].map(unit => {
    const style = getComputedStyle(unit), [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def made():
    return made_result(0, credited=9).credited


def headings(page) -> list[str]:
    return [column.evaluate("node => node.firstChild.textContent") for column in page.locator(".column h3").all()]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_character_is_shown_once(opened, hard, width, scheme):
    """LaTeX as its source, emoji, Chinese, a combining accent, right-to-left letters, tabs and empty lines."""
    page = opened(credit_page("hard", [hard]), width, scheme)
    page.get_by_role("button", name="SFT log-prob").click()
    assert headings(page) == ["SCDPO", "DPO", "SFT log-prob"]
    for lines in page.locator(".lines").all():
        assert lines.evaluate(TEXT_OF_COLUMN) == hard.text
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(LOWEST_CONTRAST) >= 4.5
    lefts = {round(column.bounding_box()["x"]) for column in page.locator(".column").all()}
    assert len(lefts) == (1 if width == 360 else 3)
    keep_screenshot(page, f"credit-hard-{width}-{scheme}")


def test_tokens_inside_a_character_are_one_unit(opened, hard):
    """Coloured by their sum, with each part told; so are the code points of what a reader sees as one character."""
    page = opened(credit_page("hard", [hard]))
    for text, tokens, total in (
        ("🍎", 4, "+0.040"),
        ("数", 3, "+0.030"),
        ("e\u0301", 2, "−0.500"),
        ("👩\u200d🔬", 3, "−0.750"),
    ):
        unit = page.locator(".column").first.locator(".unit").filter(has_text=text)
        assert unit.count() == 1 and unit.text_content() == text
        unit.hover()
        told = page.locator("#credit-readout").inner_text()
        assert f"{tokens} tokens share this character" in told and f"SCDPO {total}" in told


def test_marks(opened, hard):
    """The first wrong step, the lowest step under each score, the end of the sequence, and what was given."""
    page = opened(credit_page("hard", [hard]))
    scdpo, dpo = page.locator(".column").all()
    for column, lowest in ((scdpo, 1), (dpo, 0)):
        lines = column.locator(".line").all()
        assert [line.locator(".marks").get_by_text("lowest sum").count() for line in lines] == [n == lowest for n in range(4)]
        assert lines[1].locator(".is-wrong").inner_text() == "first wrong step: wrong quantity"
        assert column.locator(".is-wrong").count() == 1
        assert column.locator(".end").inner_text() == "end"
        assert column.locator(".given").count() == 6 == lines[2].locator(".given").count()
    assert scdpo.locator(".line").first.locator(".sum").inner_text() == f"Σ {hard.step_sums('scdpo')[0]:+.3f}"
    facts = page.locator("#credit-head").inner_text()
    assert "hard <one>" in facts and "✗ wrong" in facts and "step 2: wrong quantity" in facts


def test_one_scale_around_zero(opened, made):
    """The same value has the same colour in every column of rewards; opposite values are opposite."""
    solution = made[0]
    values = tuple(0.1 if n % 2 else -0.1 for n in range(len(solution.ids)))
    page = opened(credit_page("scale", [replace(solution, values={"scdpo": values, "dpo": tuple(2 * v for v in values)})]))
    first, second = (
        column.locator(".unit").evaluate_all("all => all.map(unit => unit.className + unit.style.getPropertyValue('--t'))")
        for column in page.locator(".column").all()
    )
    assert set(first) == {"unit low far50.0%", "unit high far50.0%"}
    assert set(second) == {"unit low far100.0%", "unit high far100.0%"}
    assert "−0.200\n0\n+0.200" in page.locator("#credit-legend").inner_text()


def test_keys_and_read_out(opened, hard, made):
    page = opened(credit_page("keys", [hard, *made]))
    second = page.locator(".column").nth(1)
    focused = lambda: page.evaluate("document.activeElement.getAttribute('aria-label')")  # noqa: E731
    second.locator(".unit").first.focus()
    assert focused() == "L: −0.020 nats"
    page.keyboard.press("ArrowRight")
    assert focused() == "ö: −0.020 nats"
    told = page.locator("#credit-readout").inner_text()
    assert "step 1" in told and "id 1" in told and "SCDPO +0.010" in told and "DPO −0.020" in told
    assert page.locator(".unit.here").all_text_contents() == ["ö", "ö"]
    page.keyboard.press("ArrowDown")
    assert focused() == "c: +0.010 nats"
    page.keyboard.press("ArrowDown")
    assert focused() == ">: given"
    assert "given, not written by the model" in page.locator("#credit-readout").inner_text()
    page.keyboard.press("End")
    assert focused() == "end: +0.500 nats"
    page.keyboard.press("Home")
    assert focused() == "L: −0.020 nats"
    assert page.locator(".unit[tabindex='0']").count() == 2, "one token of each column is reached by Tab"
    page.keyboard.press("PageDown")
    expect(page.locator("#credit-head")).to_contain_text("made-00000")
    assert page.locator("#credit-count").inner_text() == "2 of 10"
    assert page.evaluate("document.activeElement.closest('.column').querySelector('h3').firstChild.textContent") == "DPO"
    page.keyboard.press("PageUp")
    assert page.locator("#credit-count").inner_text() == "1 of 10"


def test_without_solutions_it_says_so(opened):
    page = opened(credit_page("none", []))
    assert page.locator("#credit-count").inner_text() == "no solution fits" and page.locator(".unit").count() == 0


def test_solutions_and_scores_are_chosen(opened, made):
    page = opened(credit_page("made", made))
    count, choice = page.locator("#credit-count"), page.locator("#credit-choice")
    assert headings(page) == ["SCDPO", "DPO"] and count.inner_text() == "1 of 9"
    assert page.locator("#credit-previous").is_disabled()
    page.locator("#credit-next").click()
    assert count.inner_text() == "2 of 9"
    expect(page.locator("#credit-head")).to_contain_text("made-00001")
    choice.select_option(index=8)
    assert count.inner_text() == "9 of 9" and page.locator("#credit-next").is_disabled()
    page.locator("#credit-previous").click()
    assert count.inner_text() == "8 of 9" and choice.evaluate("node => node.selectedIndex") == 7

    page.locator("#credit-kind").select_option("wrong quantity")
    assert count.inner_text() == "1 of 3"
    page.locator("#credit-kind").select_option("")
    page.locator("#credit-disagree").check()
    lowest = [tuple(min(range(len(s.steps)), key=s.step_sums(name).__getitem__) for name in ("scdpo", "dpo")) for s in made]
    assert count.inner_text() == f"1 of {sum(a != b for a, b in lowest)}"
    page.get_by_role("button", name="DPO", exact=True).click()
    assert count.inner_text() == "no solution fits" and page.locator("#credit-columns").is_hidden()
    page.locator("#credit-disagree").uncheck()
    page.get_by_role("button", name="SCDPO", exact=True).click()
    assert headings(page) == ["SCDPO"], "the last column stays"
    page.get_by_role("button", name="RFT").click()
    page.get_by_role("button", name="SFT log-prob").click()
    assert headings(page) == ["SCDPO", "RFT", "SFT log-prob"]
    assert "SFT log-prob, nats" in page.locator("#credit-legend").inner_text()
    page.locator("#credit-values").check()
    shown = page.locator(".unit").first.evaluate("unit => getComputedStyle(unit, '::after').content")
    assert shown == f'"{page.locator(".unit").first.get_attribute("data-value")}"'
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep_screenshot(page, f"credit-values-{width}")
