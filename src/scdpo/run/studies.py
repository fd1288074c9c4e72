"""What the records of the studies come to: credited solutions, and accuracy by temperature. Pure reading."""

from __future__ import annotations

from itertools import islice

from scdpo.credit.record import CreditedSolution
from scdpo.credit.solutions import credited_solution, scores_of, wrong_solutions
from scdpo.evaluation.temperature import TemperaturePoint, temperature_point
from scdpo.run.directory import RunDirectory
from scdpo.run.stage import owed
from scdpo.run.stages.credit import CREDIT, credit_samples
from scdpo.run.stages.temperature import TEMPERATURE
from scdpo.run.worker import Worker
from scdpo.solutions.solution import Solution


def read_credited(run: RunDirectory) -> list[CreditedSolution]:
    """The wrong solutions of the credit stage with all their scores; none where it is not done."""
    current = run.round(1)
    if not run.recipe.credit.problems or owed(CREDIT, current):
        return []
    codec, beta = Worker(run).codec, run.recipe.training.beta
    references = {str(arm): "sft" for arm in current.arms}
    files = {model: iter(current.credit_log_probs(model)) for model in current.models}
    credited = []
    for problem, samples in zip(run.evaluation_problems, credit_samples(current), strict=False):
        scored = {model: next(lines)["log_probs"] for model, lines in files.items()}
        for place, (number, solution) in enumerate(wrong_solutions(samples).items()):
            scores = scores_of({model: tuple(each[place]) for model, each in scored.items()}, references, beta)
            credited.append(credited_solution(f"{problem.id}/{number}", problem, solution, codec, scores))
    return credited


def read_temperatures(run: RunDirectory) -> dict[str, list[TemperaturePoint]]:
    """The temperature study by model; empty where it is not done."""
    current = run.round(1)
    if not run.recipe.temperature.problems or owed(TEMPERATURE, current):
        return {}
    points: dict[str, list[TemperaturePoint]] = {}
    problems = list(islice(run.evaluation_problems, current.studied))
    for draw in current.temperature_draws:
        solutions = [Solution.from_json(record) for record in islice(current.drawn(draw), current.studied)]
        points.setdefault(draw.model, []).append(temperature_point(draw.temperature, problems, solutions))
    return points
