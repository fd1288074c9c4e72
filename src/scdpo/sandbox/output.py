"""What running a block of code gives. Knows no process (see sandbox)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "error", "timeout", "killed", "refused"]


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one block: what it printed and its last expression's value, without line ends at the end.

    status: "ok"; "error" for an exception, whose line ends the text; "timeout" for a block stopped by the clock; "killed" where
    the session died in this block or had died before; "refused" for a block that was not run. seconds: wall clock.
    """

    text: str
    status: Status
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "status": self.status, "seconds": round(self.seconds, 4)}
