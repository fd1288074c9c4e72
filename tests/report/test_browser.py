"""The page in a browser: it opens without a complaint, fits the screen and the paper, and its trees can be gone through."""

from dataclasses import replace

import pytest

from benchmarks.page.material import made_result
from scdpo.report.comparison import compare
from scdpo.report.comparison_page import html_page as comparison_page
from scdpo.report.page import html_page
from tests.report.conftest import SCHEMES, WIDTHS, keep_screenshot
from tests.report.example import full
from tests.report.test_comparison import run

expect = pytest.importorskip("playwright.sync_api").expect
TREES = 60
MANY = 10_000


@pytest.fixture(scope="module")
def html() -> str:
    """All that a report can show."""
    viewed = made_result(TREES, credited=9)
    return html_page(replace(full(), trees=viewed.trees, credited=viewed.credited))


@pytest.fixture(scope="module")
def many() -> str:
    return html_page(made_result(MANY, credited=0))


def rows(page):
    return page.locator("#tree-list [role=option]")


def selected(page) -> str:
    return page.locator("#tree-list [aria-selected=true]").get_attribute("aria-posinset")


def shows(page, words: str) -> None:
    """The tree drawn has these words, now or soon: trees are unpacked when they are asked for."""
    expect(page.locator("#tree")).to_contain_text(words)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_and_fits(opened, html, width, scheme):
    """No message, no error, no request (see `opened`), and nothing reaches over the screen's edge."""
    page = opened(html, width, scheme)
    for link in page.locator("nav.top a").all():
        link.click()
        assert page.locator(link.get_attribute("href")).is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    keep_screenshot(page, f"report-{width}-{scheme}")


def test_trees_are_found_by_words_filters_and_keys(opened, html):
    page = opened(html)
    assert page.locator("#tree-count").inner_text() == f"{TREES} of {TREES}"
    assert selected(page) == "1"
    shows(page, "made-00000")

    page.locator("#tree-list").focus()
    page.keyboard.press("ArrowDown")
    assert selected(page) == "2"
    shows(page, "made-00001")
    page.keyboard.press("PageDown")
    assert int(selected(page)) > 5
    page.keyboard.press("End")
    assert selected(page) == str(TREES)
    shows(page, f"made-{TREES - 1:05}")
    assert page.locator("#tree-list [aria-selected=true]").is_visible()
    page.keyboard.press("Home")
    assert selected(page) == "1"

    page.locator("#tree-search").fill("made-00017")
    assert rows(page).count() == 1
    shows(page, "made-00017")
    page.locator("#tree-search").fill("no such words")
    shows(page, "No tree fits.")
    page.locator("#tree-search").fill("")
    rows(page).nth(3).click()
    shows(page, "made-00003")
    for choice, count in {"before": 0, "later": TREES, "controlled": TREES}.items():
        page.locator("#tree-filter").select_option(choice)
        assert page.locator("#tree-count").inner_text() == f"{count} of {TREES}"
    page.locator("#tree-kind").select_option("wrong arithmetic")
    assert page.locator("#tree-count").inner_text() == f"{TREES} of {TREES}"


def test_a_tree_shows_what_is_known_of_it(opened, html):
    """Trunk and branches beside each other, verdicts, temperatures, the fork, the first wrong step, and forks given up."""
    page = opened(html)
    sides = page.locator("#tree .side")
    titles = ["Trunk✓ correct", "Naive (fork 0)✗ wrong", "Fork after step 1✗ wrong", "Fork after step 2✗ wrong"]
    expect(sides).to_have_count(len(titles))
    tops = {round(side.bounding_box()["y"]) for side in sides.all()}
    assert len(tops) == 1
    for side, title in zip(sides.all(), titles, strict=True):
        assert side.locator("h3").text_content().startswith(title)
    forked = sides.nth(2)
    assert forked.locator(".kept").count() == 1 and forked.locator(".fork").count() == 1
    assert forked.locator(".step small").all_text_contents()[:3] == ["T 1.00", "T 1.10", "T 1.15"]
    assert forked.locator(".bad + .tag").inner_text() == "first wrong step: wrong arithmetic"
    shows(page, "fork after step 3: no wrong answer in 8 attempts")


def test_ten_thousand_trees(opened, many):
    """All are there, the last is one key away, and only rows in view are nodes. (Seconds: make bench-page.)"""
    page = opened(many)
    assert page.locator("#tree-count").inner_text() == "10,000 of 10,000"
    page.locator("#tree-list").focus()
    page.keyboard.press("End")
    shows(page, "made-09999")
    assert rows(page).count() < 60
    page.locator("#tree-search").fill("made-04321")
    assert page.locator("#tree-count").inner_text() == "1 of 10,000"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_opens_and_fits(opened, width):
    page = opened(comparison_page(compare([run("a", 1), run("b", 2), run("c", beta=0.5, gain=4)], "test")), width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("nav").count() == 0, "one section needs no navigation"
    keep_screenshot(page, f"compare-{width}-light")


def test_it_prints(opened, html):
    """On A4 no table is cut, every section has its content, and what was folded is unfolded."""
    page = opened(html, width=703)
    page.emulate_media(media="print")
    assert page.locator("nav.top").is_hidden() and page.locator("#tree-list").is_hidden()
    for section in page.locator("main > section").all():
        assert section.is_visible() and section.bounding_box()["height"] > 60
    assert page.locator("#tree .side").count() and page.locator("#credit-columns .unit").count()
    boxes = page.locator(".wide, .chart")
    assert not any(boxes.evaluate_all("all => all.map(box => box.scrollWidth > box.clientWidth + 1)"))
    keep_screenshot(page, "report-print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")
