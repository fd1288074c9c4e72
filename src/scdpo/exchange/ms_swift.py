"""ms-swift's preference rows: messages that end in the chosen answer, and the rejected one beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scdpo.exchange.messages import answer_of, is_messages, question_of
from scdpo.exchange.pair import NotImportable, TextPair, from_columns, has_columns, text_of


def recognises(record: Mapping[str, Any]) -> bool:
    return is_messages(record.get("messages")) and bool({"rejected_response", "rejected_messages"} & record.keys())


def read(record: Mapping[str, Any]) -> TextPair:
    """Raises NotImportable."""
    *prompt, last = record["messages"]
    chosen = answer_of([last])
    if is_messages(record.get("rejected_messages")):
        *other, last = record["rejected_messages"]
        if other != prompt:
            raise NotImportable("chosen and rejected answer different questions")
        rejected = answer_of([last])
    else:
        rejected = text_of(record, "rejected_response")
    return (
        from_columns(record, chosen, rejected) if has_columns(record) else TextPair(question_of(prompt), "", chosen, rejected)
    )


def row(pair: TextPair, prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt + pair.kept}, {"role": "assistant", "content": pair.chosen}]
    return {"messages": messages, "rejected_response": pair.rejected}
