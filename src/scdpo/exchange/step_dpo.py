"""Step-DPO's data (Lai et al. 2024): steps that are right so far, and two ways to take the next one. Read only.

The sides are single steps, not ends of solutions: their trainer puts no end token after them, and neither do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scdpo.exchange.pair import TextPair, text_of
from scdpo.problems.jsonl import as_text


def recognises(record: Mapping[str, Any]) -> bool:
    return {"prompt", "initial_reason_steps", "chosen", "rejected"} <= record.keys()


def read(record: Mapping[str, Any]) -> TextPair:
    """Raises NotImportable."""
    question, kept, chosen, rejected = (
        text_of(record, name) for name in ("prompt", "initial_reason_steps", "chosen", "rejected")
    )
    return TextPair(question, kept, chosen, rejected, answer=as_text(record.get("answer")), finish="cut")
