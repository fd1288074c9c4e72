"""The exports: LaTeX that cannot break, files as a report has them and no older ones, numbers under their names."""

import json
import math
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.files import write_files
from scdpo.report.exports import export_names, exports
from scdpo.report.latex import PACKAGES, escape, latex
from scdpo.report.sections import FIGURES, TABLES
from scdpo.report.table import Table
from tests.report.example import HOSTILE, full, made


def written(result, folder):
    return write_files(folder, exports(result), export_names())


@given(st.text())
def test_no_special_is_left_in_a_text(text):
    """Without our own commands nothing is left that LaTeX takes as one, and no line ends."""
    escaped = escape(text)
    for ours in (r"\textbackslash{}", r"\textasciicircum{}", r"\textasciitilde{}", r"\textquotedbl{}", r"\textasciigrave{}"):
        escaped = escaped.replace(ours, "")
    bare = re.sub(r"\\[{}$&#%_]|\$[-<>|]\$|-\{\}", "", escaped)
    assert not set(bare) & set('\\{}$&#%_^~<>|"`\n\r\x00')
    assert "--" not in bare


@pytest.mark.parametrize(
    "text, expected",
    [
        ("-1.1 [-2.5, +0.4]", "$-$1.1 [$-$2.5, +0.4]"),
        ("SCDPO - DPO (data-equal)", "SCDPO $-$ DPO (data-equal)"),
        ("<0.001", "$<$0.001"),
        ("50% of a_b", r"50\% of a\_b"),
        ("1e-5", "1e-5"),
        ("-", "$-$"),
        ("a---b", "a-{}-{}-b"),
    ],
)
def test_minus_signs_and_specials(text, expected):
    assert escape(text) == expected


def test_a_row_cannot_be_an_argument():
    r"""What stands first in a row follows the \\ of the row before, which takes [..] and * as its own."""
    text = latex(Table("x", "t", ("what", "n"), (("[a]", "1"), ("*", "2"))))
    assert "{}[a] & 1" in text and "{}* & 2" in text


def test_latex_compiles(tmp_path):
    """All tables, and one of the hardest texts, by the real thing; none sticks out of the page."""
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("no pdflatex; install texlive-latex-recommended and texlive-latex-extra")
    written(full(), tmp_path)
    ascii_text = "".join(map(chr, range(32, 127)))
    rows = ((HOSTILE, ascii_text), ("[x]", "*"), ("*", "\\"))
    hard = latex(Table("hard", HOSTILE, (HOSTILE, ascii_text), rows, HOSTILE, frozenset({(0, 0), (0, 1)})))
    (tmp_path / "tables" / "hard.tex").write_text(hard)
    inputs = [rf"\input{{tables/{path.name}}}" for path in sorted((tmp_path / "tables").glob("*.tex"))]
    lines = [r"\documentclass{article}", *PACKAGES, r"\begin{document}", *inputs, r"\end{document}"]
    (tmp_path / "paper.tex").write_text("\n".join(lines))
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull" not in ran.stdout


def test_files_follow_the_report(tmp_path):
    """A report without studies removes what an earlier one with them had written, and nothing that others wrote."""
    first = written(full(), tmp_path)
    assert {path.stem for path in first if path.suffix == ".tex"} == set(TABLES)
    assert {path.stem for path in first if path.suffix == ".md"} == set(TABLES)
    assert {path.stem for path in first if path.suffix == ".svg"} <= set(FIGURES)
    assert "localisation" in {path.stem for path in first if path.suffix == ".svg"}
    (tmp_path / "figures" / "mine.svg").write_text("")
    second = written(made(), tmp_path)
    there = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*second, tmp_path / "figures" / "mine.svg"}
    assert tmp_path / "tables" / "localisation.tex" not in there


def test_results_json_names():
    """The names that docs/run-directory.md promises; what a run has not done is not there."""
    numbers = json.loads(json.dumps(full().to_json(), allow_nan=False))
    difference = numbers["differences"]["scdpo - sft"]
    assert difference.keys() == {"difference", "ci95", "n", "mcnemar_p", "resolved"}
    assert 0 < difference["mcnemar_p"] < 0.001
    assert numbers["rounds"][1]["difference_to_start"].keys() == difference.keys()
    found = numbers["localisation"]
    assert found.keys() == {"solutions", "problems", "chance", "dpo", "scdpo", "differences"}
    assert found["scdpo"]["first_wrong_step"] == {"rate": 0.45, "ci95": [0.35, 0.55]}
    assert found["scdpo"]["lowest_token"].keys() == {"rate", "ci95"}
    assert found["scdpo"]["token_auroc"].keys() == {"auroc", "ci95"}
    assert found["chance"] == {"first_wrong_step": {"rate": 0.25}, "lowest_token": {"rate": 0.2}, "token_auroc": {"auroc": 0.5}}
    assert found["differences"]["scdpo - dpo"]["token_auroc"] == {"difference": 0.05, "ci95": [0.03, 0.07], "resolved": True}
    point = numbers["temperature"]["sft"][10]
    assert point.keys() == {"temperature", "accuracy", "ci95", "n", "garbled", "garbled_ci95"}
    assert (point["temperature"], point["accuracy"], point["n"], point["garbled"]) == (1.0, 0.625, 80, 0.125)
    assert not {"rounds", "localisation", "temperature"} & made().to_json().keys()


def test_small_p_keeps_its_digits():
    """15 of 20 against 12 of 20 on 400 problems: 60 gained, none lost, p = 2 * 0.5**60."""
    assert made(scdpo=15).to_json()["differences"]["scdpo - sft"]["mcnemar_p"] == pytest.approx(2 * 0.5**60, rel=1e-5)
    assert math.isclose(made().to_json()["differences"]["scdpo - sft"]["mcnemar_p"], 1.0)
