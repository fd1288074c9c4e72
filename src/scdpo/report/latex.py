"""A table as LaTeX with the rules of booktabs, ready for a paper: a whole `table` environment with caption and label.

Escapes what LaTeX would take as a command; letters that the paper's fonts lack are the paper's to provide.
"""

from __future__ import annotations

import re
import textwrap

from scdpo.report.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
}
MINUS = re.compile(r"(?<![^\s\[(])-(?=[\s\d.]|$)")
"""A hyphen that is a minus: before a number or between two spaces, and not within a word."""
PAGE = 345.0
"""The width that a table may take, in points: of a page of one column (article, 10pt)."""
SIZES = ((r"\small", 9.25), (r"\footnotesize", 8.5), (r"\scriptsize", 8.0))
"""What letters measure in points an em: LaTeX's fonts are cut the wider the smaller they are (9, 8 and 7pt)."""
COLUMN, BOLD = 8.0, 1.16
"""The space between columns in points; how much wider bold letters are."""


def latex(table: Table) -> str:
    """tables/NAME.tex: to \\input, or to copy. Too wide a table is set smaller, and where that is not enough it is scaled."""
    lines = [head_row(heads(table)), r"\midrule"]
    lines += [
        row(texts, [column for line, column in table.strong if line == number]) for number, texts in enumerate(table.rows)
    ]
    body = "\n".join(f"    {line}" for line in (r"\toprule", *lines, r"\bottomrule"))
    tabular = f"  \\begin{{tabular}}{{{'l' + 'r' * (len(table.head) - 1)}}}\n{body}\n  \\end{{tabular}}"
    size = fitting_size(table)
    packages = [r"\usepackage{booktabs}", r"\usepackage[T1]{fontenc}"]
    if size is None:
        packages.append(r"\usepackage{graphicx}")
        tabular = f"  \\resizebox{{\\linewidth}}{{!}}{{%\n{tabular}}}"
    caption = escape(f"{table.title} {table.note}".strip())
    return f"""% Needs {", ".join(packages)}.
\\begin{{table}}[t]
  \\centering
  \\setlength{{\\belowcaptionskip}}{{4pt}}
  \\caption{{{caption}}}
  \\label{{tab:{table.name}}}
  {size or SIZES[0][0]}
  \\setlength{{\\tabcolsep}}{{{COLUMN / 2:g}pt}}
{tabular}
\\end{{table}}
"""


def row(texts: tuple[str, ...], strong: list[int]) -> str:
    cells = [rf"\textbf{{{escape(text)}}}" if column in strong else escape(text) for column, text in enumerate(texts)]
    opening = "{}" if cells[0][:1] in ("[", "*") else ""  # what stands before a row ends in \\, which would take these
    return opening + " & ".join(cells) + r" \\"


def heads(table: Table) -> list[list[str]]:
    """The head of each column in lines, so that it makes its column hardly wider than its cells and its longest word do."""
    lines = []
    for head, *cells in zip(table.head, *table.rows, strict=True):
        width = max(4, *map(len, (*cells, *head.split()))) + 2
        lines.append(textwrap.wrap(head.replace(" %", "\N{NO-BREAK SPACE}%"), width, break_on_hyphens=False))
    return lines


def head_row(columns: list[list[str]]) -> str:
    return " & ".join(stacked(list(map(escape, lines))) for lines in columns) + r" \\"


def stacked(lines: list[str]) -> str:
    """Lines of a head over each other, at the right and on the row's line."""
    if len(lines) < 2:
        return "".join(lines)
    return r"\begin{tabular}[b]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"


def fitting_size(table: Table) -> str | None:
    """The largest size of type in which the widest row fits the page; None where none does."""
    bold = {column for _, column in table.strong}
    ems = 0.0
    for column, (head, *cells) in enumerate(zip(heads(table), *table.rows, strict=True)):
        ems += max(map(width_in_ems, (*head, *cells))) * (BOLD if column in bold else 1)
    rest = PAGE - COLUMN * len(table.head)
    return next((name for name, size in SIZES if ems * size <= rest), None)


def width_in_ems(text: str) -> float:
    """About as wide as LaTeX's own fonts set a text."""
    return sum(0.78 if letter.isupper() or letter in "+-<>%" else 0.3 if letter in " .,:;()[]|il" else 0.5 for letter in text)


def escape(text: str) -> str:
    """A text as LaTeX sets it: specials as letters, minus signs as such, in one line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    kept = " ".join(printable.split())
    parts = MINUS.split(kept)
    escaped = "$-$".join("".join(SPECIAL.get(letter, letter) for letter in part) for part in parts)
    return re.sub("-(?=-)", "-{}", escaped)  # and no dash
