"""Conversations as data sets hold them: lists of {role, content}, a content being a text or a list of blocks.

Knows one question with one answer; no file and no tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scdpo.marks import BLOCK_END

BLOCKS = ("text", "code", "execution")


def content_text(content: Any, marked: bool = False) -> str:
    """The text of a message's content; marked: blocks as the authors publish them ({type, content}) keep marks around each.

    Blocks may also be {type, text}, as chat formats have them. Raises ValueError for one that is not text, code or execution.
    """
    if isinstance(content, str):
        content = [{"type": "text", "content": content}] if content else []
    text = ""
    for block in content if isinstance(content, list) else [content]:
        fields = block if isinstance(block, Mapping) else {}
        kind, inner = fields.get("type", "text"), fields.get("content", fields.get("text"))
        if kind not in BLOCKS or not isinstance(inner, str):
            raise ValueError("a block that is not text, code or execution")
        text += f"<|{kind}|>{inner}{BLOCK_END}" if marked and "content" in fields else inner
    return text


def question_and_answer(messages: Sequence[Any]) -> tuple[str, str]:
    """The question of a conversation of one turn, and the answer.

    A system message is not a part of the question: what a run says before it is its prompt's, and a test question would not be
    known again under it. The answer is marked where its content is a list of blocks.

    Raises ValueError for any other conversation.
    """
    texts = {"system": "", "user": "", "assistant": ""}
    for message in messages:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, Mapping) else (None, None)
        if role not in texts or texts[role]:
            raise ValueError("not one question with one answer")
        texts[role] = content_text(content, marked=role == "assistant" and isinstance(content, list))
    if not texts["user"] or not texts["assistant"]:
        raise ValueError("not one question with one answer")
    return texts["user"], texts["assistant"]
