"""scdpo: the toolkit for Step-Controlled DPO (arXiv 2407.00782). docs/library.md shows its use as a library."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Problem": "scdpo.problems.problem",
    "first_error": "scdpo.problems.step_oracle",
    "make_splits": "scdpo.problems.source",
    "stories": "scdpo.problems.stories",
    "Step": "scdpo.solutions.solution",
    "Solution": "scdpo.solutions.solution",
    "Branch": "scdpo.solutions.tree",
    "SolutionTree": "scdpo.solutions.tree",
    "Codec": "scdpo.solutions.codec",
    "render": "scdpo.solutions.rendering",
    "Verdict": "scdpo.solutions.verdict",
    "grade": "scdpo.grading.grade",
    "CodeSettings": "scdpo.solutions.settings",
    "Sandbox": "scdpo.sandbox.sandbox",
    "SandboxSettings": "scdpo.sandbox.settings",
    "SymbolicGrader": "scdpo.grading.symbolic",
    "cut_windows": "scdpo.solutions.splitting",
    "TemperatureRamp": "scdpo.engines.temperature",
    "Engine": "scdpo.engines.interface",
    "TransformersEngine": "scdpo.engines.transformers_engine",
    "VllmEngine": "scdpo.engines.vllm_engine",
    "ServerEngine": "scdpo.engines.server_engine",
    "ScriptedEngine": "scdpo.engines.scripted",
    "SamplingRules": "scdpo.sampling.continuation",
    "Solver": "scdpo.sampling.stages",
    "sample_block": "scdpo.sampling.stages",
    "fork_block": "scdpo.sampling.stages",
    "answer_block": "scdpo.sampling.stages",
    "arm_trees": "scdpo.sampling.arms",
    "grow": "scdpo.exchange.growing",
    "write_export": "scdpo.exchange.exporting",
    "read_tree_file": "scdpo.exchange.tree_file",
    "sigmoid_loss": "scdpo.training.loss",
    "ipo_loss": "scdpo.training.loss",
    "hinge_loss": "scdpo.training.loss",
    "PairLogProbs": "scdpo.training.loss",
    "pair_losses": "scdpo.training.loss",
    "LossSettings": "scdpo.training.settings",
    "TrainingJob": "scdpo.training.job",
    "train_sft": "scdpo.training.train",
    "train_preference": "scdpo.training.train",
    "TreeTrainer": "scdpo.training.trainer",
    "wilson": "scdpo.evaluation.statistics",
    "error_breakdown": "scdpo.evaluation.errors",
    "CreditedSolution": "scdpo.credit.record",
    "credit_row": "scdpo.credit.scoring",
    "token_scores": "scdpo.credit.scoring",
    "rewards": "scdpo.credit.scoring",
    "localisation": "scdpo.credit.localisation",
    "processbench": "scdpo.credit.processbench",
    "paired_difference": "scdpo.evaluation.statistics",
    "pooled_accuracy": "scdpo.evaluation.pooling",
    "pooled_difference": "scdpo.evaluation.pooling",
}
__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import scdpo` needs no torch."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'scdpo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
