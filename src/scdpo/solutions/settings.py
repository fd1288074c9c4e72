"""What can be set about the form of solutions."""

from __future__ import annotations

from scdpo.settings import Settings
from scdpo.solutions.splitting import StepFormat


class StepSettings(Settings):
    """How solutions are cut into steps."""

    format: StepFormat = "auto"
    """auto, blocks, numbered, fences, paragraphs, lines or sentences (docs/steps.md); auto looks at each solution."""
