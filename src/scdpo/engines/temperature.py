"""The sampling temperature by generated step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TemperatureRamp:
    """min(start + i * increment, maximum) at the i-th generated step, counted from 0.

    The paper's step-controlled data: TemperatureRamp(1.1, 0.05, 1.4) (section 3.1). A high temperature from the start gave
    garbled text, so it rises gently.
    """

    start: float = 1.1
    increment: float = 0.05
    maximum: float = 1.4

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.maximum or self.increment < 0:
            raise ValueError(f"a ramp rises from start >= 0 to maximum >= start; got {self}")

    def at(self, step: int) -> float:
        """The temperature at generated step `step`."""
        return min(self.start + step * self.increment, self.maximum)

    def is_constant_from(self, step: int) -> bool:
        """Whether all further steps have the temperature of generated step `step`."""
        return self.increment == 0 or self.at(step) == self.maximum

    @classmethod
    def constant(cls, temperature: float) -> TemperatureRamp:
        """The same temperature at every step; 0 is greedy decoding."""
        return cls(temperature, 0.0, temperature)
