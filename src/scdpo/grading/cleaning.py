"""Answers as one plain LaTeX form: wrappers, spacing commands, unicode signs and spelling variants removed.

`clean` changes how an answer is written and never what it says. Knows no values (see numbers and exact).
"""

from __future__ import annotations

import re
import unicodedata

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
SIGNS = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": r"\times ",
    "✕": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "∶": ":",
    "π": r"\pi ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "⩽": r"\le ",
    "≥": r"\ge ",
    "⩾": r"\ge ",
    "≠": r"\ne ",
    "±": r"\pm ",
    "≈": r"\approx ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "φ": r"\phi ",
    "ϕ": r"\phi ",
    "λ": r"\lambda ",
    "√": r"\sqrt",
    "∛": r"\sqrt[3]",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "、": ",",
    "。": ".",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "′": "'",
    "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}",
}
TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mbox|hbox|mathrm|mathbf|mathit|mathsf|bf|rm|bm|boldsymbol)\s*\{([^{}]*)\}"
)
STYLE = re.compile(
    r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|Biggl|Biggr|big|Big|bigg|Bigg"
    r"|middle|bf|rm|it|boldmath|mathstrut|strut|phantom\s*\{[^{}]*\})(?![a-zA-Z])"
)
SPACING = re.compile(r"(?<!\\)\\(?:[,;:!> ]|(?:quad|qquad|thinspace|enspace)(?![a-zA-Z])|hspace\s*\{[^{}]*\})|~|\\$")
THIN_DIGITS = re.compile(r"(?<=\d)(,?)(?:\\[,;:!> ]|\{,\}|\{\\,\}|\s*\\!\s*|~)\s*(?=\d{3}(?!\d))")
FRACTIONS = re.compile(r"\\[dtcx]frac(?![a-zA-Z])")
FRACTION = re.compile(
    r"\\frac\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\\[a-zA-Z]+|\w))\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\\[a-zA-Z]+|\w))"
)
ROOT = re.compile(r"\\sqrt\s*(\[[^\[\]]*\])?\s*(?:\(([^()]*)\)|(\d|[a-zA-Z]|\\[a-zA-Z]+))")
UNICODE_ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?)")
AROUND = re.compile(r"\\(?:boxed|fbox|text|textbf|mathbf|mathrm|boldsymbol|bm)\s*\{(.*)\}", re.DOTALL)
BOLD = re.compile(r"(?<![\w)}\]*])\*\*(?=\S)([^*]*?)(?<=\S)\*\*(?![\w({\[*])")
FUNCTIONS = re.compile(
    r"(?<![a-zA-Z\\])(sqrt|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|pi|infty|infinity|oo)(?![a-zA-Z])"
)
SYNONYMS = (
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge "),
    (re.compile(r"\\neq(?![a-zA-Z])"), r"\\ne "),
    (re.compile(r"\\lt(?![a-zA-Z])"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])"), ">"),
    (re.compile(r"\{\s*(\w+)\s*\\choose(?![a-zA-Z])\s*(\w+)\s*\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\(?:lbrace)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(?:varnothing|empty)(?![a-zA-Z])"), r"\\emptyset "),
    (re.compile(r"\\colon(?![a-zA-Z])"), ":"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:degree|degrees)(?![a-zA-Z])"), r"^\\circ "),
    (re.compile(r"\^\s*\{\s*\\circ\s*\}"), r"^\\circ "),
    (re.compile(r"\\(?:mathbb\s*\{\s*([RZNQC])\s*\}|([RZNQC])(?![a-zA-Z]))"), r"\\mathbb{\1\2}"),
    (re.compile(r"\\(?:ast|star)(?![a-zA-Z])"), r"\\cdot "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"<="), r"\\le "),
    (re.compile(r">="), r"\\ge "),
    (re.compile(r"!="), r"\\ne "),
    (re.compile(r"\\overline\s*\{\s*([A-Z]{2,})\s*\}"), r"\1"),
    (re.compile(r"(?<=\\\\)\s*\[[\d.]+\s*[a-z]{2}\]"), " "),
    (re.compile(r"\\begin\{[bvBV]?(?:small)?matrix\}"), r"\\begin{pmatrix}"),
    (re.compile(r"\\end\{[bvBV]?(?:small)?matrix\}"), r"\\end{pmatrix}"),
)
REMARK = re.compile(
    r"\s*\\?\(?\\pmod\s*(?:\{[^{}]*\}|\w+)\)?$|\s*\(\s*\\?(?:mod|bmod)(?![a-z])[^()]*\)$"
    r"|(?<=\S)\s+\(\s*[A-Za-z][A-Za-z ,'-]+\)$|(?<=\S)\s+\[/?[A-Za-z][A-Za-z _]{2,}\]$|<\|?/?[a-z][\w ]{0,19}\|?>$"
    r"|(?<=\S)\s*(?:\\(?:square|blacksquare|qed|Box)(?![a-zA-Z])|[□■∎])$"
)
LEAD = re.compile(r"^(?:(?:[*•](?=\s)|\\(?:therefore|implies|Rightarrow|rightarrow)(?![a-zA-Z])|[∴⇒→]|[=-]>)\s*)+")
"""What stands before a conclusion: a bullet, an arrow."""
CHINESE_REMARK = re.compile(r"(?<=[\d%})])\s*\(\s*([\u3400-\u9fff]+)\s*\)$")
MAYBE_FACTORIAL = re.compile(r"(?:[\d)}\]]|(?<![^\W\d_])[A-Za-z])!$")
CLOSING_MARKS = " \t\n.,;:!?"


def clean(answer: str) -> str:
    """An answer in one plain form; two answers that differ only in writing come out equal (up to white space)."""
    text = LEAD.sub("", answer.strip())
    if text.isascii() and text.isdigit():
        return text
    text = _plain_signs(text)
    text = _unwrap(text)
    text = TEXT.sub(_text_content, text)
    text = THIN_DIGITS.sub(r"\1", text)
    text = FRACTIONS.sub(r"\\frac", text)
    text = STYLE.sub(" ", text)
    text = text.replace(r"\%", "%").replace(r"\$", "$ ").replace(r"\#", "#").replace(r"\&", " and ").replace(r"\_", "_")
    for pattern, replacement in SYNONYMS:
        text = pattern.sub(replacement, text)
    text = SPACING.sub(" ", text)
    text = FUNCTIONS.sub(_function, text)
    text = CHINESE_REMARK.sub(r" \1", text)
    text = FRACTION.sub(_braced_fraction, text)
    text = ROOT.sub(_braced_root, text)
    text = re.sub(r"\s+", " ", text).strip()
    return _trim(text)


def _plain_signs(text: str) -> str:
    """Unicode signs as LaTeX or ASCII; full-width forms as ordinary ones."""
    if text.isascii():
        return text
    text = re.sub("[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]", lambda found: " " + unicodedata.normalize("NFKC", found.group()) + " ", text)
    text = re.sub("([⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)", lambda found: "^{" + found.group().translate(SUPERSCRIPTS) + "}", text)
    text = re.sub("([₀₁₂₃₄₅₆₇₈₉]+)", lambda found: "_{" + found.group().translate(SUBSCRIPTS) + "}", text)
    text = UNICODE_ROOT.sub(r"\\sqrt{\1}", text)
    text = unicodedata.normalize("NFKC", text.replace("º", "°"))
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return "".join(SIGNS.get(character, character) for character in text)


def _unwrap(text: str) -> str:
    """The answer without the signs around it: mathematics delimiters, boxes, bold, code, quotes."""
    text = BOLD.sub(r"\1", re.sub(r"(?<!\\)\\[()\[\]]", " ", text))
    without, dollars = re.subn(r"(?<!\\)\$", " ", text)
    text = text if dollars % 2 else without  # a single one is a currency
    while True:
        before = text
        text = text.strip(' \t\n`"')
        around = AROUND.fullmatch(text)
        if around and around.group(1).count("{") == around.group(1).count("}") and "}" not in around.group(1).partition("{")[0]:
            text = around.group(1)
        if text == before:
            return text


def _text_content(found: re.Match[str]) -> str:
    return f" {found.group(1)} "


def _function(found: re.Match[str]) -> str:
    name = found.group(1)
    return {"infinity": r"\infty ", "oo": r"\infty "}.get(name, f"\\{name} " if name != "sqrt" else r"\sqrt")


def _braced_fraction(found: re.Match[str]) -> str:
    top = found.group(1) if found.group(1) is not None else found.group(2)
    bottom = found.group(3) if found.group(3) is not None else found.group(4)
    return rf"\frac{{{top.strip()}}}{{{bottom.strip()}}}"


def _braced_root(found: re.Match[str]) -> str:
    index, inside, single = found.groups()
    return rf"\sqrt{index or ''}{{{single if inside is None else inside}}}"


def _trim(text: str) -> str:
    """Without closing punctuation; the sign of a factorial stays."""
    if text.endswith("..."):
        return text
    while text and text[-1] in CLOSING_MARKS and not MAYBE_FACTORIAL.search(text):
        text = text[:-1].rstrip()
    return REMARK.sub("", text.lstrip(" \t\n:,;=")).rstrip()
