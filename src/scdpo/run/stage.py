"""A stage of a run: one record that says what it makes, and what that is made from.

What is owed, what is lacking and what is stale follow from it, each in one loop; so do the order, the commands and their help.
Knows no single stage (see stages).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

from scdpo.errors import RunError
from scdpo.run.fingerprint import MadeFrom

if TYPE_CHECKING:
    from pathlib import Path

    from scdpo.run.directory import Round, RunDirectory
    from scdpo.run.recipe import Recipe
    from scdpo.run.records import BlockRecords
    from scdpo.run.tools import Tools


@dataclass(frozen=True)
class Output:
    """A folder or a file of records that a stage makes, whole at its end.

    stage: the command that makes it; what: for messages ("SFT model", "naive samples"); fields: those of the recipe that it
    depends on, "section.field" -> value; inputs: what else it is made from; records: the lines of a file, None for a model's
    folder; beside: further files that belong to it; anew: made whenever it is asked for (the report); content: of a file that
    no stage makes (the problems), the digest of its bytes.
    """

    stage: str
    path: Path
    what: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Output] = ()
    records: BlockRecords | None = None
    beside: Sequence[Path] = ()
    anew: bool = False
    content: str | None = None

    @property
    def is_complete(self) -> bool:
        if self.anew:
            return False
        return self.records.is_complete() if self.records is not None else self.path.exists()

    @property
    def is_begun(self) -> bool:
        """Whether anything of it is there."""
        return self.path.exists() or any(place.exists() for place in self.unfinished)

    @property
    def unfinished(self) -> Sequence[Path]:
        """What a training leaves that has not ended."""
        return [self.path.with_name(f"{self.path.name}.{part}") for part in ("checkpoints", "adapter")]

    @property
    def note(self) -> Path:
        """The file beside it that says what it was made from."""
        return self.path.with_name(self.path.name.removesuffix(".jsonl") + ".from.json")

    @cached_property
    def made_from(self) -> MadeFrom:
        """What it would be made from now."""
        return MadeFrom(self.fields, {each.path.name.removesuffix(".jsonl"): each.digest for each in self.inputs})

    @cached_property
    def digest(self) -> str:
        """Equal for outputs that are the same."""
        return self.made_from.digest if self.content is None else self.content

    @property
    def lacking(self) -> str:
        """For messages: what is not there of it."""
        return f"no {self.what}" if self.records is None else f"not all {self.what}"

    def reasons(self) -> list[str]:
        """Why what is there of it is stale; nothing where it is not, or where nothing is there."""
        if self.anew or not self.is_begun:
            return []
        before = MadeFrom.read(self.note)
        return before.differences(self.made_from) if before else [f"{self.note.name} is missing"]


Asked = ParamSpec("Asked")


def once(
    output: Callable[Concatenate[Round, Asked], Output],
) -> Callable[Concatenate[Round, Asked], Output]:
    """An output of a round as one object a run: a later round's are made from all those before, by many ways."""

    @wraps(output)
    def known(current: Round, *asked: Asked.args, **named: Asked.kwargs) -> Output:
        outputs, key = current.run.outputs, (output, current.number, *asked, *named.items())
        if key not in outputs:
            outputs[key] = output(current, *asked, **named)
        return outputs[key]

    return known


@dataclass(frozen=True, slots=True)
class Stage:
    """What makes some of a run's outputs.

    name, help: of its command; outputs: what it makes of a round; make: makes those that are owed, and says something of it;
    found: what the outputs hold, in words; turn: once in a run, in every round, or in the first one; is_wanted: whether the
    recipe has it; launched: accelerate's processes may share it; in_blocks: Ray may do it; executes: it runs solutions' code.
    """

    name: str
    help: str
    outputs: Callable[[Round], Sequence[Output]]
    make: Callable[[Tools, Round, Sequence[Output]], str]
    found: Callable[[Round], str] = lambda current: ""
    turn: Literal["once", "every round", "first round"] = "once"
    is_wanted: Callable[[Recipe], bool] = lambda recipe: True
    launched: bool = False
    in_blocks: bool = False
    executes: bool = False


Turn = tuple[Stage, "Round"]
"""A stage in a round. One that has its turn once is taken in the first."""


def all_turns(run: RunDirectory, stages: Sequence[Stage]) -> list[Turn]:
    """All that makes up the run, in order."""
    turns: list[Turn] = []
    for turn, group in groupby((stage for stage in stages if stage.is_wanted(run.recipe)), lambda stage: stage.turn):
        together = list(group)
        turns += [(stage, current) for current in run.rounds if turn == "every round" or current.is_first for stage in together]
    return turns


def turns_of(run: RunDirectory, stage: Stage) -> list[Turn]:
    """A single stage in the rounds that owe it and lack nothing; where there are none, in the first that owes it, which tells
    what is missing, or in the last. Raises RunError for a study that the recipe leaves out."""
    turns = all_turns(run, [stage])
    if not turns:
        name = stage.name
        raise RunError(f"{name}.problems of {run.path} is 0; name how many: scdpo {name} {run.path} --{name}.problems 200")
    behind = [turn for turn in turns if owed(*turn)]
    return list(takewhile(lambda turn: not lacking(*turn), behind)) or behind[:1] or turns[-1:]


def owed(stage: Stage, current: Round) -> list[Output]:
    """What the stage still has to make of a round."""
    return [output for output in stage.outputs(current) if not output.is_complete]


def lacking(stage: Stage, current: Round) -> str:
    """What the stage needs of earlier ones and does not find, with the command for it; empty where all is there."""
    needed = {each.path: each for output in owed(stage, current) for each in output.inputs if each.stage != stage.name}
    missing = [each for each in needed.values() if not each.is_complete]
    if not missing:
        return ""
    first = missing[0].stage
    what = ", ".join(each.lacking for each in missing if each.stage == first)
    return f"{current.run.path} has {what} yet; run: scdpo {first} {current.run.path}"


def stale(turns: Sequence[Turn]) -> Iterator[tuple[Turn, Output, list[str]]]:
    """What is there and would be made otherwise now, with the reasons."""
    seen = set()
    for turn in turns:
        stage, current = turn
        for output in stage.outputs(current):
            if output.path not in seen and (reasons := output.reasons()):
                yield turn, output, reasons
            seen.add(output.path)
