"""What can be set about Ray: where the work in blocks of problems runs, and not what comes out."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from scdpo.settings import Settings


class RaySettings(Settings):
    """A Ray cluster for sample, fork, evaluate, credit and temperature (docs/cluster.md); free to change."""

    address: str = ""
    """Empty: no Ray; auto: the cluster that this machine belongs to, or a new one on it; else its address, as HOST:6379."""
    actors: int = Field(0, ge=0)
    """The most actors at once, one engine each; 0: as many as the cluster has room for. Each takes engine.threads CPUs."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of each actor."""
    patience: float = Field(300.0, gt=0)
    """Seconds without any actor at work (a cluster that grows takes its time) after which a run gives up."""

    @field_validator("address")
    @classmethod
    def refuse_other_words(cls, value: str) -> str:
        """`--ray` before a recipe or a run's folder would take it for the address."""
        if value not in ("", "auto") and ":" not in value:
            raise PydanticCustomError("ray_address", 'Input should be "auto" or an address with its port, as 10.0.0.1:6379')
        return value

    @field_validator("gpus")
    @classmethod
    def refuse_parts_of_several(cls, value: float) -> float:
        """Ray gives a part of one GPU, or whole ones."""
        if value > 1 and value != int(value):
            raise PydanticCustomError("ray_gpus", "Input should be at most 1 or a whole number")
        return value
