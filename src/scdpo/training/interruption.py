"""Ctrl-C in a training: the step is ended, a checkpoint written, and only then is the training interrupted.

Knows transformers' Trainer; knows no model.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainingArguments

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What the user sends, and what the command sends to its worker processes."""


class Interruption(TrainerCallback):
    """As a context: the first signal asks for a checkpoint after the step that is being computed, a second one ends at once.
    Raises KeyboardInterrupt at its end, where a signal came.

    processes: a launch's share one step, and would leave it at different ones: of several, none waits.
    """

    def __init__(self, processes: int) -> None:
        self.is_asked = False
        self.heeds = processes == 1 and threading.current_thread() is threading.main_thread()
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if self.heeds:
            self.before = {number: signal.getsignal(number) for number in SIGNALS}
            for number, handler in self.before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.is_asked and kind is None:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True
        print("\nscdpo: writing a checkpoint after this step; once more ends at once", file=sys.stderr, flush=True)

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Mapping[str, Any]) -> None:
        if self.is_asked:
            control.should_save = control.should_training_stop = True
