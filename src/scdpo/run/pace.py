"""The pace of work, from when how much of it was done: the time that the rest will take, or nothing where that is not known.

Knows no clock and no stage.
"""

from __future__ import annotations

from collections import deque

WINDOW = 30.0
"""Seconds that a pace is taken over, the last ones: what was slow before, or quick, says nothing of what comes."""
FIRST, SILENCES = 3.0, 5.0
"""A window is so many times as long as the time to the first item, and as the longest silence in it: the answers of a block end
late and in waves, and a wave's pace is none."""
GRAIN, MARKS = 0.5, 10_000
"""Seconds between two marks, and how many are kept."""


class Pace:
    """What was done by when. start: when the work began; what was done before that counts for nothing."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.marks = deque([(start, 0)], maxlen=MARKS)
        self.least = WINDOW

    def add(self, now: float, done: int) -> None:
        """So much more is done."""
        last, before = self.marks[-1]
        if last == self.start:
            self.least = max(WINDOW, FIRST * (now - self.start))
        elif now - last < GRAIN:
            now, _ = last, self.marks.pop()
        self.marks.append((now, before + done))

    def seconds_left(self, now: float, rest: int) -> float | None:
        """The time that `rest` more take at the pace of the last window, which ends with the last item; None while none is long
        enough."""
        last, done = self.marks[-1]
        silent, longest, later = now - last, 0.0, last
        for time, before in reversed(self.marks):
            longest = max(longest, later - time)
            if last - time >= max(self.least, SILENCES * max(silent, longest)):
                made = done - before
                return max(0.0, rest * (last - time) / made - min(silent, longest)) if made > 0 else None
            later = time
        return None
