"""TRL's preference rows: prompt, chosen, rejected, as texts or as message lists; the prompt may be in both message lists.

Plain rows carry the kept steps at the prompt's end. A chat template closes every turn, so in chat rows a kept beginning of the
answer has no place but the answer: it stands on both sides, where the sigmoid loss cancels it (docs/loss.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scdpo.exchange.messages import answer_of, is_messages, question_of
from scdpo.exchange.pair import NotImportable, TextPair, from_columns, has_columns, text_of


def recognises(record: Mapping[str, Any]) -> bool:
    sides = (record.get("chosen"), record.get("rejected"))
    plain = all(isinstance(side, str) for side in sides) and isinstance(record.get("prompt"), str)
    return plain or all(map(is_messages, sides))


def read(record: Mapping[str, Any]) -> TextPair:
    """A row of either kind. Raises NotImportable."""
    if is_messages(record.get("chosen")):
        return _read_chat(record)
    prompt, chosen, rejected = (text_of(record, name) for name in ("prompt", "chosen", "rejected"))
    if has_columns(record):
        return from_columns(record, chosen, rejected)
    return TextPair(prompt, "", chosen, rejected)


def _read_chat(record: Mapping[str, Any]) -> TextPair:
    prompt, chosen, rejected = record.get("prompt"), record["chosen"], record.get("rejected")
    if not is_messages(chosen) or not is_messages(rejected):
        raise NotImportable("chosen is a message list and rejected is not one")
    if prompt is None:
        shared = next((n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), 0)
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    elif isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    # Some sets repeat the prompt in each side beside the prompt's own field.
    chosen, rejected = (side[len(prompt) :] if side[: len(prompt)] == prompt else side for side in (chosen, rejected))
    first, second = answer_of(chosen), answer_of(rejected)
    if not has_columns(record):
        return TextPair(question_of(prompt), "", first, second)
    kept = record["kept"]
    if not (first.startswith(kept) and second.startswith(kept)):
        raise NotImportable("chosen and rejected keep different steps")
    return from_columns(record, first[len(kept) :], second[len(kept) :])


def row(pair: TextPair, prompt: str) -> dict[str, Any]:
    """A plain row. prompt: the question as it is asked."""
    return {"prompt": prompt + pair.kept, "chosen": pair.chosen, "rejected": pair.rejected}


def chat_row(pair: TextPair, prompt: str) -> dict[str, Any]:
    """A row of messages, for models with a chat template."""
    return {
        "prompt": [{"role": "user", "content": prompt.strip()}],
        "chosen": [{"role": "assistant", "content": pair.kept + pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.kept + pair.rejected}],
    }
