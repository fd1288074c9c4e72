"""Times of the day, in English and Chinese writing. Works on what `clean` gives."""

from __future__ import annotations

import re
from dataclasses import dataclass

CLOCK = re.compile(
    r"(?:at\s+)?(\d{1,2})\s*(?:[:：]\s*(\d{2})(?:\s*[:：]\s*(\d{2}))?)?\s*"
    r"(a\.?\s?m\.?|p\.?\s?m\.?|o'clock|noon|midnight|in the morning|in the afternoon|in the evening|at night)?\s*"
    r"(a\.?\s?m\.?|p\.?\s?m\.?)?",
    re.IGNORECASE,
)
HOURS = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
SPOKEN = re.compile(rf"(?:a\s+)?(half|quarter)\s+(past|after|to)\s+({'|'.join(HOURS)}|\d{{1,2}})\b(.*)", re.IGNORECASE)
CHINESE_CLOCK = re.compile(r"(上午|早上|凌晨|下午|晚上|中午)?\s*(\d{1,2})\s*[时点:](?:钟|整)?\s*(?:(\d{1,2})\s*分?|(半))?")


@dataclass(frozen=True, slots=True)
class Clock:
    """A time in minutes since midnight. half_is_known: a.m. or p.m. is said, or shows in the hour; is_surely_one: the text can
    be nothing else (`3:30` could be a ratio, `3:00` not).
    """

    minutes: int
    half_is_known: bool
    is_surely_one: bool


def read_clock(text: str) -> Clock | None:
    """The time that a text says, or None."""
    chinese = CHINESE_CLOCK.fullmatch(text)
    if chinese and not text.isascii():
        hour, minute = int(chinese.group(2)), 30 if chinese.group(4) else int(chinese.group(3) or 0)
        day_part = chinese.group(1)
        if day_part in ("下午", "晚上") and hour < 12:
            hour += 12
        return Clock(hour * 60 + minute, bool(day_part) or hour > 12, True) if hour < 25 and minute < 60 else None
    digits = _in_digits(text)
    match = CLOCK.fullmatch(digits)
    if not match or not (match.group(2) or match.group(4)):
        return None
    hour, minute = int(match.group(1)), int(match.group(2) or 0)
    if hour > 24 or minute > 59:
        return None
    words = " ".join(part for part in match.groups()[3:] if part).casefold().replace(".", "").replace(" ", "")
    afternoon = any(word in words for word in ("pm", "noon", "evening", "night")) and "midnight" not in words
    morning = any(word in words for word in ("am", "morning", "midnight"))
    if afternoon and hour < 12:
        hour += 12
    if morning and hour == 12:
        hour = 0
    return Clock(hour * 60 + minute, afternoon or morning or hour > 12, bool(words) or digits != text or match.group(2) == "00")


def _in_digits(text: str) -> str:
    """`half past three` as `3:30`."""
    spoken = SPOKEN.fullmatch(text)
    if not spoken:
        return text
    part, side, name, rest = spoken.groups()
    hour = int(name) if name.isdecimal() else HOURS.index(name.casefold())
    minutes = (hour or 12) * 60 + (30 if part.casefold() == "half" else 15) * (-1 if side.casefold() == "to" else 1)
    return f"{minutes // 60}:{minutes % 60:02}{rest}"
