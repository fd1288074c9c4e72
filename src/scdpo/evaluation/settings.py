"""What can be set about evaluation and the temperature study."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from scdpo.sampling.arms import Arm
from scdpo.settings import Settings


class EvaluationSettings(Settings):
    """Greedy accuracy on problems that nothing was trained on."""

    split: Literal["test", "dev"] = "test"
    """dev: choose hyper-parameters there; test: report there, once."""
    max_new_tokens: int = Field(512, ge=1)
    """The most tokens of a solution."""
    block: int = Field(500, ge=1)
    """Problems a block."""


class TemperatureSettings(Settings):
    """The temperature study: accuracy of sampled solutions by temperature (the paper's Fig. 5)."""

    problems: int = Field(200, ge=0)
    """The most evaluation problems of it, each answered once at every temperature; 0: no study."""
    temperatures: tuple[float, ...] = tuple(tenths / 10 for tenths in range(18))
    """Where accuracy is measured; 0 is greedy."""
    models: tuple[Literal["sft"] | Arm, ...] = ("sft",)
    """Whose accuracy."""

    @field_validator("temperatures")
    @classmethod
    def refuse_disorder(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        """Rising, so that a curve can be drawn through them."""
        if not value or value[0] < 0 or any(b <= a for a, b in pairwise(value)):
            raise PydanticCustomError("temperatures", "Input should be rising temperatures from 0 on")
        return value
