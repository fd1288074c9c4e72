"""What the page's tests share: a browser, pages opened in it that may not complain, and a solution of hard characters."""

from __future__ import annotations

import base64
import json
import re
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.page.opening import browser
from scdpo.credit.record import CreditedSolution

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDTHS, SCHEMES = (360, 1440), ("light", "dark")


@pytest.fixture(scope="module")
def chromium():
    """Closed with the module: while it runs, no other event loop can be started in this thread."""
    running = browser()
    try:
        opened = running.__enter__()
    except BenchError as error:
        pytest.skip(str(error))
    yield opened
    running.__exit__(None, None, None)


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens HTML as a file. What the page says on its console, its errors and its requests are wrong at the end of the test."""
    complaints, requests, pages = [], [], []

    def open_page(html: str, width: int = 1440, scheme: str = "light"):
        file = tmp_path / f"page{len(pages)}.html"
        file.write_text(html, encoding="utf-8")
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        for chooser, content in {"#tree-list [role=option]": "#tree .step", "#credit-choice option": ".unit"}.items():
            if page.locator(chooser).count():  # What is chosen is unpacked after the page has opened.
                page.wait_for_selector(content)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert len(requests) == len(pages) and all(url.startswith("file:") for url in requests)


def block(page: str, name: str) -> str:
    """What stands in a data block of the page."""
    return re.search(rf'<script type="[a-z/]+" id="{name}"[^>]*>(.*?)</script>', page, re.S).group(1)


def unpacked(text: str) -> list:
    """The values of a packed block."""
    bundles = [zlib.decompress(base64.b64decode(line)).decode() for line in text.splitlines()]
    return [json.loads(line) for bundle in bundles for line in bundle.split("\n")]


def keep_screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


FIRST = "Löse $\\frac{1}{2} < x$ & </script> 🍎 数学\n"
SECOND = "cafe\u0301 👩\u200d🔬 שלום\tend\n\n"
GIVEN = ">>> 4\n"
LAST = "\\boxed{4}"


@pytest.fixture(scope="session")
def hard() -> CreditedSolution:
    """Byte-level tokens: the apple is four of them, each Chinese character three; the second step's last token is a line break.

    The third step was given. SCDPO's lowest step is the second, DPO's the first.
    """
    text = FIRST + SECOND + GIVEN + LAST
    starts = [0, len(FIRST), len(FIRST + SECOND), len(FIRST + SECOND + GIVEN), len(text)]
    spans = [(n, n + 1) for n, letter in enumerate(text) for _ in range({"🍎": 4, "数": 3, "学": 3}.get(letter, 1))]
    steps = [next(place for place in range(4) if start < starts[place + 1]) for start, _ in spans]

    def values(*by_step: float) -> tuple[float | None, ...]:
        return (*(None if step == 2 else by_step[step] for step in steps), 0.5)

    return CreditedSolution(
        name="hard <one>",
        question="Wie viele 🍎? $x$ <b>",
        text=text,
        steps=tuple(pairwise(starts)),
        ids=tuple(range(len(spans) + 1)),
        spans=(*spans, (len(text), len(text))),
        step_of=(*steps, 3),
        values={
            "sft-log-prob": values(-0.5, -2.0, 0, -0.1),
            "dpo": values(-0.02, 0.01, 0, 0.2),
            "scdpo": values(0.01, -0.25, 0, 0.1),
        },
        wrong=1,
        kind="wrong quantity",
        answer="5",
        stated="4",
        right=False,
    )
