"""A table as LaTeX with the rules of booktabs, ready for a paper: a whole `table` environment with caption and label.

Escapes what LaTeX would take as a command; letters that the paper's fonts lack are the paper's to provide.
"""

from __future__ import annotations

import re

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
SIZES = ((62, r"\small"), (80, r"\footnotesize"))
"""(characters of a row up to which a size fits a page's width, size); wider ones are set smaller still."""


def latex(table: Table) -> str:
    """tables/NAME.tex: to \input, or to copy."""
    lines = [row(table.head, ()), r"\midrule"]
    lines += [
        row(texts, [column for line, column in table.strong if line == number]) for number, texts in enumerate(table.rows)
    ]
    body = "\n    ".join([r"\toprule", *lines, r"\bottomrule"])
    caption = escape(f"{table.title} {table.note}".strip())
    return f"""% Needs \\usepackage{{booktabs}} and \\usepackage[T1]{{fontenc}}.
\\begin{{table}}[t]
  \\centering
  \\caption{{{caption}}}
  \\label{{tab:{table.name}}}
  {size(table)}
  \\begin{{tabular}}{{{"l" + "r" * (len(table.head) - 1)}}}
    {body}
  \\end{{tabular}}
\\end{{table}}
"""


def row(texts: tuple[str, ...], strong: list[int] | tuple[()]) -> str:
    cells = [rf"\textbf{{{escape(text)}}}" if column in strong else escape(text) for column, text in enumerate(texts)]
    opening = "{}" if cells[0][:1] in ("[", "*") else ""  # what stands before a row ends in \\, which would take these
    return opening + " & ".join(cells) + r" \\"


def size(table: Table) -> str:
    """The type that lets the widest row fit a page of one column."""
    widths = (max(map(len, column)) for column in zip(table.head, *table.rows, strict=True))
    width = sum(widths) + 2 * len(table.head)
    return next((name for most, name in SIZES if width <= most), r"\scriptsize")


def escape(text: str) -> str:
    """A text as LaTeX sets it: specials as letters, minus signs as such, in one line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    kept = " ".join(printable.split())
    parts = MINUS.split(kept)
    escaped = "$-$".join("".join(SPECIAL.get(letter, letter) for letter in part) for part in parts)
    return escaped.replace("--", "-{}-")  # and no dash
