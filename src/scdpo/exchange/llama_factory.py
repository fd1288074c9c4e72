"""LLaMA-Factory's preference rows in its alpaca form, and the entry of dataset_info.json that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scdpo.exchange.pair import TextPair, from_columns, has_columns, text_of

NAME = "scdpo"
"""What the data set is called in dataset_info.json, and so on the command line."""


def recognises(record: Mapping[str, Any]) -> bool:
    return {"instruction", "chosen", "rejected"} <= record.keys()


def read(record: Mapping[str, Any]) -> TextPair:
    """Raises NotImportable."""
    instruction, chosen, rejected = (text_of(record, name) for name in ("instruction", "chosen", "rejected"))
    if has_columns(record):
        return from_columns(record, chosen, rejected)
    query = record.get("input") or ""
    return TextPair("\n".join(filter(None, (instruction, query))), "", chosen, rejected)


def row(pair: TextPair, prompt: str) -> dict[str, Any]:
    return {"instruction": prompt + pair.kept, "input": "", "chosen": pair.chosen, "rejected": pair.rejected}


def dataset_info(data_file: str) -> str:
    """dataset_info.json, for `dataset_dir`."""
    names = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    entry = {"file_name": data_file, "formatting": "alpaca", "ranking": True, "columns": names}
    return json.dumps({NAME: entry}, indent=2) + "\n"
