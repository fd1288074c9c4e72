"""A folder with the pairs of trees as another tool reads them, and its card. Written whole or not at all.

Knows trees, formats and files; knows no run (the caller gives the facts for the card).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scdpo.errors import ExchangeError
from scdpo.exchange.card import data_card
from scdpo.exchange.formats import OUT_FORMATS
from scdpo.exchange.pair import columns, pairs_of
from scdpo.files import whole_folder
from scdpo.solutions.tree import SolutionTree


def write_export(
    folder: Path,
    format: str,
    trees: Iterable[SolutionTree],
    template: str,
    facts: Mapping[str, str],
    texts: Mapping[str, str],
    called: str = "",
) -> dict[str, int]:
    """Write every branch of the trees as a row; returns how many rows there are of each kind.

    template: the prompt around {question}; facts: how the trees were made, for the card; texts: further files by name;
    called: the data set's name on its card, where that is not the folder's. Raises ExchangeError where there is nothing to
    write, or something else lies in the folder.
    """
    form = OUT_FORMATS[format]
    rows, kinds = [], Counter[str]()
    for tree in trees:
        prompt = template.replace("{question}", tree.question)
        for fork, pair in pairs_of(tree):
            rows.append(form.row(pair, prompt) | columns(pair, fork))
            kinds[pair.kind] += 1
    if not rows:
        raise ExchangeError("these trees have no pairs, so there is nothing to export")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExchangeError(f"{folder} is not empty; name a new folder with --out")

    if folder.exists():
        folder.rmdir()
    with whole_folder(folder) as into:
        data = into / form.data_file
        data.parent.mkdir(parents=True, exist_ok=True)
        _write_rows(data, rows)
        for name, make in (form.beside or {}).items():
            (into / name).write_text(make(form.data_file), encoding="utf-8")
        for name, text in {**texts, "README.md": data_card(form, called or folder.name, dict(kinds), facts)}.items():
            (into / name).write_text(text, encoding="utf-8")
    return dict(kinds)


def _write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    if file.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
        return
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
