"""An HTML document in one file: its sections, with their style, scripts and data in it. Nothing is loaded from anywhere.

Knows how texts and data are put into HTML so that nothing in them can break it; knows nothing of what the sections say.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

PACKED = 50
SURROGATE = re.compile("[\ud800-\udfff]")
BASE_STYLES, BASE_SCRIPTS = ("base.css",), ("page.js",)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document, with a place in its navigation. body: HTML, without the heading.

    styles, scripts: the assets that it needs; what several sections need is put in once. data: HTML of its data blocks, which
    come after all sections, so that a reader sees those first.
    """

    id: str
    title: str
    body: str
    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    data: str = ""


def document(title: str, lead: str, sections: Sequence[Section], facts: Mapping[str, str] | None = None) -> str:
    """The whole file. lead: the sentence before the sections; facts: name -> value, after it."""
    return render(
        "document.html",
        title=title,
        lead=lead,
        facts=facts or {},
        sections=sections,
        style="\n".join(map(asset, each_once(BASE_STYLES, (section.styles for section in sections)))),
        script="\n".join(map(asset, each_once(BASE_SCRIPTS, (section.scripts for section in sections)))),
    )


def each_once(base: Sequence[str], more: Iterable[Sequence[str]]) -> list[str]:
    """All names in order, each once."""
    return list(dict.fromkeys([*base, *(name for names in more for name in names)]))


def how_many(shown: int, more: int) -> str:
    """The number shown, and of how many where that is not all: 10,000 of 12,500."""
    return f"{shown:,} of {shown + more:,}" if more else f"{shown:,}"


def asset(name: str) -> str:
    return (resources.files("scdpo.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def templates() -> Environment:
    """The assets as templates: texts are escaped, and a part that is missing is an error."""
    loader = PackageLoader("scdpo.report", "assets")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(name: str, **parts: Any) -> str:
    """An asset with its parts put in."""
    return templates().get_template(name).render(parts)


def json_block(name: str, value: Any) -> str:
    """A value for the scripts, to be read whole."""
    return f'<script type="application/json" id="{name}">{script_json(value)}</script>\n'


def packed_block(name: str, values: Iterable[Any]) -> str:
    """Many values for the scripts, to be read one by one: a page opens without reading them, and stays small.

    Each line is a bundle of PACKED values: JSON lines, compressed (zlib), in base 64.
    """
    lines = list(map(script_json, values))
    bundles = ("\n".join(lines[start : start + PACKED]).encode() for start in range(0, len(lines), PACKED))
    text = "\n".join(base64.b64encode(zlib.compress(bundle)).decode() for bundle in bundles)
    return f'<script type="text/plain" id="{name}" data-packed="{PACKED}">{text}</script>\n'


def script_json(value: Any) -> str:
    """JSON on one line that may stand inside a script element, and in a UTF-8 file whatever the texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return text if text.isascii() else SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
