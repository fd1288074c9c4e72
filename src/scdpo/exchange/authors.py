"""The data of the paper's authors: chosen and rejected as messages of blocks, the kept ones under `assistant_correct`.

As their scripts write it (src/tools/process_for_step_controled_training.py of mathllm/Step-Controlled_DPO). Read only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scdpo.exchange.messages import content_of, is_messages
from scdpo.exchange.pair import NotImportable, TextPair

KEPT = "assistant_correct"


def recognises(record: Mapping[str, Any]) -> bool:
    sides = [record.get(name) for name in ("chosen", "rejected", "messages")]
    messages = [message for side in sides if is_messages(side) for message in side]
    return any(message["role"] == KEPT or _is_block_list(message.get("content")) for message in messages)


def _is_block_list(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(block, dict) and "content" in block for block in content)


def read(record: Mapping[str, Any]) -> TextPair:
    """Raises NotImportable."""
    first, second = record.get("chosen"), record.get("rejected")
    if not is_messages(first) or not is_messages(second):
        raise NotImportable("one solution (messages) and no pair")
    question, kept, chosen = _side(first)
    other_question, other_kept, rejected = _side(second)
    if question != other_question:
        raise NotImportable("chosen and rejected answer different questions")
    if kept != other_kept:
        raise NotImportable("chosen and rejected keep different steps")
    return TextPair(question, kept, chosen, rejected)


def _side(messages: list[dict[str, Any]]) -> tuple[str, str, str]:
    """(question, kept steps, the rest) of one side."""
    texts = {"system": "", "user": "", KEPT: "", "assistant": ""}
    for message in messages:
        role = message["role"]
        if role not in texts or texts[role]:
            raise NotImportable(f'a message of role "{role}"' if role not in texts else "a conversation of several turns")
        texts[role] = content_of(message, marked=role in (KEPT, "assistant"))
    question = "\n\n".join(text for text in (texts["system"], texts["user"]) if text)
    return question, texts[KEPT], texts["assistant"]
