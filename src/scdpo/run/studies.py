"""What the records of the studies come to: credited solutions, and accuracy by temperature. Pure reading."""

from __future__ import annotations

from itertools import islice

from scdpo.credit.record import CreditedSolution
from scdpo.credit.solutions import credited_solution, scores_of, wrong_solutions
from scdpo.evaluation.temperature import TemperaturePoint, temperature_point
from scdpo.run.run_directory import RunDirectory
from scdpo.run.tasks import run_codec
from scdpo.run.turns import is_owed, temperature_records
from scdpo.sampling.policies import ProblemSamples


def read_credited(run: RunDirectory) -> list[CreditedSolution]:
    """The wrong solutions of the credit stage with all their scores; none where it is not done."""
    current = run.round(1)
    if not run.recipe.credit.problems or is_owed("credit", current):
        return []
    codec, beta = run_codec(run), run.recipe.training.beta
    references = {str(arm): "sft" for arm in current.arms}
    files = {model: iter(current.credit_log_probs(model)) for model in current.models}
    credited = []
    samples = current.credit_samples
    for problem, record in zip(run.evaluation_problems, islice(samples, samples.count), strict=False):
        scored = {model: next(lines)["log_probs"] for model, lines in files.items()}
        for place, (number, solution) in enumerate(wrong_solutions(ProblemSamples.from_json(record)).items()):
            scores = scores_of({model: tuple(each[place]) for model, each in scored.items()}, references, beta)
            credited.append(credited_solution(f"{problem.id}/{number}", problem, solution, codec, scores))
    return credited


def read_temperatures(run: RunDirectory) -> dict[str, list[TemperaturePoint]]:
    """The temperature study by model; empty where it is not done."""
    current = run.round(1)
    if not run.recipe.temperature.problems or is_owed("temperature", current):
        return {}
    points: dict[str, list[TemperaturePoint]] = {}
    for (model, at), records in temperature_records(current).items():
        solutions = [ProblemSamples.from_json(record).samples[0] for record in islice(records, records.count)]
        problems = list(islice(run.evaluation_problems, len(solutions)))
        points.setdefault(model, []).append(temperature_point(at, problems, solutions))
    return points
