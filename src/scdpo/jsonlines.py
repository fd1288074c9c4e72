"""JSON lines as they come from outside: each line an object, or what is wrong with it, named by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One line that is not blank. where: "file:line"; end: the bytes of the file up to its end; record: the object, None where
    there is none; flaw: what is wrong then.
    """

    where: str
    number: int
    end: int
    record: dict[str, Any] | None
    flaw: str = ""


def read_json_lines(path: str | Path) -> Iterator[JsonLine]:
    """The lines of a UTF-8 file, one at a time, blank ones left out. Raises OSError where the file cannot be opened."""
    with Path(path).expanduser().open("rb") as file:
        end = 0
        for number, line in enumerate(file, start=1):
            end += len(line)
            if line.strip():
                record, flaw = _parse(line)
                yield JsonLine(f"{path}:{number}", number, end, record, flaw)


def _parse(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 text (byte {error.start + 1} of the line); save the file as UTF-8"
    except json.JSONDecodeError as error:
        return None, f"broken JSON ({error.msg} at column {error.colno}); mend or remove the line"
    except RecursionError:
        return None, "JSON nested too deeply; mend or remove the line"
    return (record, "") if isinstance(record, dict) else (None, "not a JSON object; every line must be one")


def json_text(value: Any) -> str:
    """The text of a JSON file of ours, which people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
