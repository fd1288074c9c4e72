"""Seconds until the page of many trees can be used, in a headless browser of the machine.

Measured from the start of the navigation to the first frame in which the list of trees has its rows and a tree is drawn.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.page.material import made_result
from scdpo.report.page import html_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu")
USABLE = """() => new Promise(resolve => {
  const look = () => {
    if (document.querySelector("#tree-list [role=option]") && document.querySelector("#tree .step")) resolve(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a page took. seconds: of each try; megabytes: the file; browser: its version."""

    trees: int
    megabytes: float
    seconds: tuple[float, ...]
    browser: str

    @property
    def median(self) -> float:
        return sorted(self.seconds)[len(self.seconds) // 2]


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser of the machine. Raises BenchError where there is none, or nothing to drive it with."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise BenchError("playwright is not installed; pip install playwright") from error
    path = find_browser()
    if path is None:
        raise BenchError(f"no browser on the path (looked for {', '.join(BROWSERS)}); install Chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


def measure(trees: int, tries: int, folder: Path) -> Opening:
    """Write the page of a made run into `folder` and open it `tries` times, each in a new window without a cache."""
    file = folder / "report.html"
    file.write_text(html_page(made_result(trees)), encoding="utf-8")
    seconds = []
    with browser() as running:
        for _ in range(tries):
            window = running.new_page(viewport={"width": 1440, "height": 900})
            window.goto(file.as_uri(), wait_until="commit")
            seconds.append(window.evaluate(USABLE) / 1000)
            window.close()
        version = running.version
    return Opening(trees, file.stat().st_size / 1e6, tuple(seconds), version)
