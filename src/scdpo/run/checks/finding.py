"""What a check finds: where, what, with the cure, and whether a run is refused for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 3
"""How many findings of a kind are told one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """where: a file with its line, or a field; "" where `what` says it."""

    where: str
    what: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def first_of(findings: Sequence[Finding], kind: str) -> list[Finding]:
    """The first findings of a kind, and how many more there are. kind: what they are, as "rows without an answer"."""
    more = len(findings) - MOST
    rest = [Finding("", f"and {more:,} more {kind}", findings[0].refused)] if more > 0 else []
    return [*findings[:MOST], *rest]
