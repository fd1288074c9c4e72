"""The stages of a run, in their order, each whole in a file of its own. Another one is a file and a line."""

from __future__ import annotations

from scdpo.run.stage import Stage
from scdpo.run.stages.credit import CREDIT
from scdpo.run.stages.evaluate import EVALUATE
from scdpo.run.stages.fork import FORK
from scdpo.run.stages.report import REPORT
from scdpo.run.stages.sample import SAMPLE
from scdpo.run.stages.sft import SFT
from scdpo.run.stages.temperature import TEMPERATURE
from scdpo.run.stages.train import TRAIN

STAGES: tuple[Stage, ...] = (SFT, SAMPLE, FORK, TRAIN, EVALUATE, CREDIT, TEMPERATURE, REPORT)
