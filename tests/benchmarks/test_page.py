"""The benchmark of the page: a page is made, opened as often as asked for, and what that took is told."""

import json

import pytest

from benchmarks.page.__main__ import main
from benchmarks.page.opening import find_browser

pytest.importorskip("playwright")


@pytest.mark.skipif(find_browser() is None, reason="no browser on the path")
def test_figures_are_told_and_written(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main(["--trees", "20", "--tries", "2", "--json", str(file)]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures["trees"] == 20 and len(figures["seconds"]) == 2 and figures["megabytes"] > 0
    assert figures["median"] in figures["seconds"]
    assert "20 trees" in capsys.readouterr().out


def test_numbers_are_checked(capsys):
    assert main(["--trees", "0"]) == 2
    assert "--trees: input should be greater than or equal to 1" in capsys.readouterr().err
