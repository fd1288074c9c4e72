"""Message lists as chat formats have them: the question of a conversation, and the text of one answer.

Knows roles and contents; knows no format of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from scdpo.exchange.pair import NotImportable
from scdpo.problems.messages import content_text


def is_messages(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "role" in each for each in value)


def content_of(message: dict[str, Any], marked: bool = False) -> str:
    """The text of one message (problems/messages.content_text). Raises NotImportable for one with anything else in it."""
    try:
        return content_text(message.get("content"), marked)
    except ValueError as error:
        raise NotImportable(str(error)) from error


def question_of(messages: Sequence[dict[str, Any]]) -> str:
    """The one question of a conversation, a system message before it. Raises NotImportable."""
    roles = [message["role"] for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise NotImportable("a conversation of several turns" if roles.count("user") > 1 else "no single question")
    return "\n\n".join(text for text in map(content_of, messages) if text)


def answer_of(messages: Sequence[dict[str, Any]]) -> str:
    """The text of a side that is one assistant's turn. Raises NotImportable."""
    if [message["role"] for message in messages] != ["assistant"]:
        raise NotImportable("an answer of several turns")
    return content_of(messages[0])
