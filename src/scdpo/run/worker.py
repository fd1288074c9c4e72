"""What one process holds of a run: the run itself, its codec, one model for sampling or scoring, and the sandbox.

A task is a function of a worker; see stages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from scdpo.cores import side_by_side, usable_cores, usable_threads
from scdpo.engines.interface import Engine
from scdpo.evaluation.settings import EvaluationSettings
from scdpo.problems.settings import each_source
from scdpo.run.directory import Round, RunDirectory
from scdpo.run.engine import open_engine
from scdpo.run.prompts import codec_of
from scdpo.sampling.continuation import SamplingRules
from scdpo.sampling.settings import SamplingSettings
from scdpo.sampling.stages import Solver
from scdpo.sandbox.sandbox import Sandbox
from scdpo.seeds import derive_seed
from scdpo.solutions.codec import Codec
from scdpo.training.job import Report, TrainingJob


class Worker:
    """One process's hold on a run. Closing it ends the sandbox."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.gave_way = False  # to a training, in the task at hand
        self._loaded: tuple[Any, Any] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._loaded = None
        sandbox: Sandbox | None = self.__dict__.get("sandbox")  # which asking for would make
        if sandbox is not None:
            sandbox.stop()

    @cached_property
    def codec(self) -> Codec:
        """The codec of the run's models: they all share the tokenizer of the SFT model."""
        from scdpo.training.model_files import load_tokenizer

        recipe = self.run.recipe
        return codec_of(recipe, load_tokenizer(self.run.round(1).model("sft"), recipe.model.trust_remote_code))

    @cached_property
    def sandbox(self) -> Sandbox | None:
        """None for a run whose solutions have no code."""
        recipe = self.run.recipe
        if not recipe.code.format:
            return None
        jobs = recipe.sandbox.jobs or usable_cores() // side_by_side(recipe.engine.threads)  # workers share the cores
        return Sandbox(recipe.sandbox.model_copy(update={"jobs": jobs}))

    def solver(self, current: Round, folder: Path, settings: SamplingSettings | EvaluationSettings) -> Solver:
        """What solves a round's problems with the model in `folder`."""
        recipe = current.run.recipe
        use_threads(recipe.engine.threads)
        return Solver(self.engine(folder), self.rules(current, settings), recipe.engine.rows, self.sandbox)

    def rules(self, current: Round, settings: SamplingSettings | EvaluationSettings) -> SamplingRules:
        """Answers are drawn from the whole distribution, and none of them is chosen."""
        recipe = current.run.recipe
        banned, top_p = (settings.banned, settings.top_p) if isinstance(settings, SamplingSettings) else ((), 1.0)
        return SamplingRules(
            self.codec, current.seed, settings.max_new_tokens, recipe.model.context, banned, top_p, recipe.code
        )

    def engine(self, folder: Path) -> Engine:
        """The run's engine over one of its models."""
        recipe = self.run.recipe
        settings, remote = recipe.model, recipe.model.trust_remote_code
        return self._alone(("engine", folder), lambda: open_engine(recipe.engine, folder, self.codec, settings.context, remote))

    def scorer(self, folder: Path) -> Any:
        """A model to compute log-probs with."""
        use_threads(self.run.recipe.engine.threads)
        return self._alone(("scorer", folder), lambda: self._load_scorer(folder))

    def _load_scorer(self, folder: Path) -> Any:
        import torch

        from scdpo.training.model_files import load_model

        model = load_model(folder, trust_remote_code=self.run.recipe.model.trust_remote_code)
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    def _alone(self, key: Any, load: Callable[[], Any]) -> Any:
        """What was loaded last, or another one in its place, after it is gone: two models may not fit."""
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            self._loaded = key, load()
        return self._loaded[1]

    def give_way(self, threads: int) -> None:
        """Give this process to a training: its threads, and the memory of the model that it sampled or scored with."""
        self._loaded, self.gave_way = None, True
        use_threads(threads)

    def job(self, current: Round, name: str, report: Report, codec: Codec | None = None) -> TrainingJob[Any]:
        """One of a round's trainings, with the facts of its card. codec: of an SFT, before whose end the run has none."""
        run, recipe = current.run, current.run.recipe
        settings = {"sft": recipe.sft, "rft": recipe.rft}.get(name, recipe.training)
        facts = {"method": name, "problems": ", ".join(each_source(recipe.problems.source)), "run seed": recipe.run.seed}
        facts |= {} if current.is_first else {"round": current.number, "reference": recipe.run.reference}
        facts |= settings.model_dump(mode="json")
        models = {"start": current.start, "reference": current.reference, "cache": run.reference_cache} if name != "sft" else {}
        return TrainingJob(
            name=f"scdpo {name}" if current.is_first else f"scdpo {name}, round {current.number}",
            settings=settings,
            codec=codec or self.codec,
            context=recipe.context_of(settings),
            folder=current.model(name),
            log=current.log(name),
            seed=derive_seed(current.seed, "training", name),
            trust_remote_code=recipe.model.trust_remote_code,
            facts=facts,
            report=report,
            **models,
        )


def use_threads(count: int) -> None:
    """Fix the processor threads of this process; 0 is all. Never more than there are processors for it."""
    import torch

    torch.set_num_threads(usable_threads(count))
