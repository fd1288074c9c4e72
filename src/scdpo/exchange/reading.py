"""Records of other tools as pairs of texts: which format they are in, and what of them is not a pair.

Knows formats; knows no files (see problems/records) and no tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scdpo.errors import ExchangeError
from scdpo.exchange.formats import IN_FORMATS
from scdpo.exchange.pair import NotImportable, TextPair
from scdpo.problems.records import Record


def recognised(records: Sequence[Record], name: str) -> str:
    """The format of the first record that any format recognises. Raises ExchangeError where there is none."""
    for record in records:
        for format, reader in IN_FORMATS.items():
            if reader.recognises(record.fields):
                return format
    fields = ", ".join(records[0].fields) if records else "no records"
    raise ExchangeError(
        f"{name}: no preference pairs of a form that is known ({fields}); docs/exchange.md says which fields are read, and "
        "--format names a form"
    )


def read_pairs(records: Sequence[Record], format: str) -> tuple[list[TextPair], Counter[str]]:
    """The pairs of the records, and how many records are none, by reason."""
    reader = IN_FORMATS[format]
    pairs: list[TextPair] = []
    refused: Counter[str] = Counter()
    for record in records:
        if not reader.recognises(record.fields):
            refused[f"no row of {format}"] += 1
            continue
        try:
            pairs.append(reader.read(record.fields))
        except NotImportable as reason:
            refused[str(reason)] += 1
    return pairs, refused
