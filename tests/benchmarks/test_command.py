"""The benchmarks as commands: their options are told, their figures are whole, their errors are one line."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.command import Benchmark, run
from benchmarks.errors import BenchError

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
NAMES = ("training", "sampling", "grading", "sandbox", "growth", "page")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_every_option(name, capsys):
    (row,) = re.findall(rf"^\| `{name}\b.*$", PAGE.read_text(encoding="utf-8"), re.M)
    with pytest.raises(SystemExit):
        import_module(f"benchmarks.{name}.__main__").main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--json"}
    assert set(re.findall(r"--[a-z-]+", row.rpartition("|")[0].rpartition("|")[2])) == options


class Small(Benchmark):
    """A benchmark of nothing."""

    count: int = 3
    """How often."""


def test_figures_are_written_whole(tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert run("small", Small, lambda bench, console: bench.settings, ["--count", "4", "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == {"count": 4} and list(tmp_path.iterdir()) == [out]
    assert f"figures: {out}" in capsys.readouterr().out


def test_what_the_user_can_mend_is_one_line(tmp_path, capsys):
    def fail(bench, console):
        raise BenchError("no peer; install one")

    out = tmp_path / "figures.json"
    assert run("small", Small, fail, ["--json", str(out)]) == 2
    assert capsys.readouterr().err == "python -m benchmarks.small: no peer; install one\n" and not out.exists()
    assert run("small", Small, fail, ["--json", str(tmp_path / "no" / "figures.json")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback_and_an_interruption_its_status():
    def broken(bench, console):
        raise ValueError("ours")

    def interrupted(bench, console):
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="ours"):
        run("small", Small, broken, [])
    assert run("small", Small, interrupted, []) == 130
