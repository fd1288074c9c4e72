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
PACKAGES = (r"\usepackage{booktabs}", r"\usepackage{adjustbox}", r"\usepackage[T1]{fontenc}")


def latex(table: Table) -> str:
    """tables/NAME.tex: to \\input, or to copy. Too wide a table is scaled to the line's width."""
    lines = [head_row(heads(table)), r"\midrule"]
    lines += [
        row(texts, [column for line, column in table.strong if line == number]) for number, texts in enumerate(table.rows)
    ]
    body = "\n".join(f"      {line}" for line in (r"\toprule", *lines, r"\bottomrule"))
    caption = escape(f"{table.title} {table.note}".strip())
    return f"""% Needs {", ".join(PACKAGES)}.
\\begin{{table}}[t]
  \\centering
  \\small
  \\setlength{{\\belowcaptionskip}}{{4pt}}
  \\caption{{{caption}}}
  \\label{{tab:{table.name}}}
  \\begin{{adjustbox}}{{max width=\\linewidth}}
    \\begin{{tabular}}{{{"l" + "r" * (len(table.head) - 1)}}}
{body}
    \\end{{tabular}}
  \\end{{adjustbox}}
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


def escape(text: str) -> str:
    """A text as LaTeX sets it: specials as letters, minus signs as such, in one line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    kept = " ".join(printable.split())
    parts = MINUS.split(kept)
    escaped = "$-$".join("".join(SPECIAL.get(letter, letter) for letter in part) for part in parts)
    return re.sub("-(?=-)", "-{}", escaped)  # and no dash
