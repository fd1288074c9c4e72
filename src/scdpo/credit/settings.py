"""What can be set about credit assignment."""

from __future__ import annotations

from pydantic import Field

from scdpo.settings import Settings


class CreditSettings(Settings):
    """Wrong solutions of the SFT model, scored by every trained model: how well the implicit reward finds the error."""

    problems: int = Field(200, ge=0)
    """The most evaluation problems that are sampled for it; 0: none, and no credit in the report."""
    samples: int = Field(1, ge=1)
    """Solutions sampled for each of them; the wrong ones are scored."""
    temperature: float = Field(1.0, gt=0)
    """At which they are sampled."""
