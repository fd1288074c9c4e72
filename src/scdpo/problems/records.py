"""Records of problem sets from where they lie: a file, a folder in a published layout, or the hub. By split.

Knows files and the hub; what a record means is published's work.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scdpo import hub
from scdpo.errors import HubError, ProblemError
from scdpo.jsonlines import read_json_lines
from scdpo.problems.published import ProblemSet

SUFFIXES = (".jsonl", ".json", ".tsv", ".parquet")
TEST = re.compile(r"(?:^|[/_.-])test(?:[/_.-]|$)")


@dataclass(frozen=True, slots=True)
class Record:
    """One record. where: its file and line; file, number: the same without what differs from machine to machine, "" for a file
    that was named alone; is_test: whether it lies in a test split.
    """

    where: str
    number: int
    fields: Mapping[str, Any]
    file: str = ""
    is_test: bool = False


def read_records(place: str, published: ProblemSet) -> list[Record]:
    """The records at a path, or on the hub. place: a file, a folder, a hub name with or without @REVISION, or for the set's own
    place on the hub "" or @REVISION.

    Raises ProblemError where there is nothing to read.
    """
    path = Path(place).expanduser()
    asked = hub_name(place, published)
    if asked:
        return _from_folder(download(asked), published)
    if path.is_dir():
        try:
            return _from_folder(hub.snapshot_of(path), published)
        except HubError as error:
            raise ProblemError(str(error)) from error
    return list(_from_file(path, place, published))


def hub_name(place: str, published: ProblemSet) -> hub.HubName | None:
    """The data set of the hub that a place names, None for a path."""
    path = Path(place).expanduser()
    if place and not place.startswith("@"):
        asked = hub.parse(place)
        return None if asked is None or "/" not in asked.name or path.exists() or path.suffix in SUFFIXES else asked
    return hub.parse(f"{published.hub}{place}") if published.hub else None


def download(asked: hub.HubName) -> Path:
    """The local copy of a data set of the hub, fetched where it is not there yet; called by its commit.

    Raises ProblemError where it cannot be had.
    """
    try:
        return hub.fetch(asked, "dataset", [f"*{suffix}" for suffix in SUFFIXES])
    except HubError as error:
        raise ProblemError(
            f"cannot load {asked.name} from the hub ({error}); with no way to it, give a local copy: "
            "problems.source = NAME:PATH"
        ) from error


def _from_folder(folder: Path, published: ProblemSet) -> list[Record]:
    """All files of a folder that may hold records; those with "test" in their path are the test split."""
    names = {file: file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES}
    files = [file for file in names if file.is_file() and not _is_about(names[file])]
    if published.only and any(published.only in names[file] for file in files):
        files = [file for file in files if published.only in names[file]]
    if not files:
        raise ProblemError(
            f"{folder}: no {', '.join(SUFFIXES)} file in this folder; name a file, or the folder that holds them"
        )
    return [
        replace(record, file=names[file], is_test=TEST.search(names[file]) is not None)
        for file in files
        for record in _from_file(file, str(file), published)
    ]


def _is_about(name: str) -> bool:
    """Whether a file tells of a data set and holds none of it, as what lies in .git, and in .cache of a hub's download."""
    parts = name.split("/")
    return parts[-1] in ("dataset_infos.json", "dataset_info.json", "state.json") or any(part[0] == "." for part in parts)


def _from_file(path: Path, name: str, published: ProblemSet) -> Iterator[Record]:
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, name)
        elif path.suffix == ".tsv":
            yield from _tsv(path, name, published)
        elif path.suffix == ".json" and (records := _json(path, name)) is not None:
            yield from records
        else:
            for line in read_json_lines(path):
                if line.record is None:
                    raise ProblemError(f"{name}:{line.number}: {line.flaw}")
                yield Record(f"{name}:{line.number}", line.number, line.record)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProblemError(f"cannot read problems from {name}: {reason}") from error


def _json(path: Path, name: str) -> list[Record] | None:
    """The objects of a JSON file that holds one or an array of them; None for lines of them under this suffix."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError:
        return None
    records = value if isinstance(value, list) else [value]
    wrong = next((index for index, record in enumerate(records) if not isinstance(record, dict)), None)
    if wrong is not None:
        raise ProblemError(f"{name}: item {wrong + 1} is not a JSON object; every item must be one")
    return [Record(f"{name}: item {number}", number, record) for number, record in enumerate(records, start=1)]


def _tsv(path: Path, name: str, published: ProblemSet) -> Iterator[Record]:
    """Tab-separated columns, with a header or (as MGSM's files) in the order of the set's fields."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header: list[str] = list(published.fields)
        for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if number == 1 and set(published.fields) <= set(row):
                header = row
            elif row:
                yield Record(f"{name}:{number}", number, dict(zip(header, row, strict=False)))


def _parquet(path: Path, name: str) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ProblemError(f"{name}: not a parquet file that can be read ({error}); fetch it again") from error
    return (Record(f"{name}: row {number}", number, row) for number, row in enumerate(rows, start=1))
