"""Our evaluation as a task of lm-evaluation-harness: the same prompts, limits, ends and grader, so that its accuracy is ours.

Makes the task's files, and is called from them. Of the harness it knows only what a task may hold; nothing here imports it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdpo.errors import ModelError
from scdpo.grading.grade import grade
from scdpo.jsonlines import read_json_lines
from scdpo.solutions.solution import FinishReason

if TYPE_CHECKING:
    from scdpo.problems.problem import Problem
    from scdpo.sampling.continuation import SamplingRules
    from scdpo.solutions.codec import Codec

PROBLEMS, TOKENIZER, CODE = "problems.jsonl", "tokenizer", "task.py"
TASK_CODE = f'''\
"""The problems of a task of lm-evaluation-harness, and their grading. Written by scdpo lm-eval-task; needs scdpo."""

from pathlib import Path

from scdpo.evaluation.lm_eval_task import read_task, score


def problems(**_):
    from datasets import Dataset

    return {{"test": Dataset.from_list(read_task(Path(__file__).parent / "{PROBLEMS}"))}}


def graded(problem, results):
    return score(problem, results[0], Path(__file__).parent / "{TOKENIZER}")
'''


def task_yaml(name: str, ends: Sequence[str], max_new_tokens: int) -> str:
    """The task's description: greedy solutions of the problems in the file beside it."""
    return (
        f"task: {name}\n"
        "custom_dataset: !function task.problems\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        "doc_to_text: prompt\n"
        "doc_to_target: answer\n"
        "num_fewshot: 0\n"
        "generation_kwargs:\n"
        f"  until: {json.dumps(list(ends), ensure_ascii=False)}\n"
        "  do_sample: false\n"
        f"  max_gen_toks: {max_new_tokens}\n"
        "process_results: !function task.graded\n"
        "metric_list:\n"
        "  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
        "  - {metric: undecided, aggregation: mean, higher_is_better: false}\n"
    )


def task_lines(problems: Iterable[Problem], rules: SamplingRules) -> Iterator[dict[str, Any]]:
    """A line for each problem, with the text of its prompt. A problem that cannot be put to the model is there too, as it
    counts in our accuracy; unfit says why. Raises ModelError where the harness would make other tokens of a prompt than we do.
    """
    for problem in problems:
        unfit = rules.unfit(problem) or ""
        text = rules.codec.prompter.text(problem.question)
        if not unfit and as_harness(rules.codec, text) != rules.codec.prompt(problem.question):
            raise ModelError(
                f"{problem.id}: lm-evaluation-harness would make other tokens of its prompt than scdpo; write the prompt "
                "without a beginning-of-sequence token in prompt.template"
            )
        record = {"id": problem.id, "question": problem.question, "prompt": text, "answer": problem.answer}
        yield record | {"max_new_tokens": rules.max_new_tokens, "unfit": unfit}


def as_harness(codec: Codec, text: str) -> tuple[int, ...]:
    """The ids that the harness makes of a prompt: it leaves out what the tokenizer adds where the text shows it already."""
    begin = codec.tokenizer.bos_token
    adds = not (begin and text.startswith(begin))
    return tuple(codec.tokenizer(text, add_special_tokens=adds)["input_ids"])


def read_task(path: Path) -> list[dict[str, Any]]:
    """The problems of a task. Raises ModelError for a line that is none."""
    entries = list(read_json_lines(str(path)))
    flaw = next((f"{entry.where}: {entry.flaw}" for entry in entries if entry.record is None), None)
    if flaw:
        raise ModelError(f"{flaw}; write the task again")
    return [dict(entry.record) for entry in entries if entry.record is not None]


def score(problem: Mapping[str, Any], text: str, tokenizer: Path) -> dict[str, float]:
    """The verdict on a solution's text as the task's figures.

    The harness gives no reason of an end: a text of as many tokens as there may be has not ended.
    """
    if problem["unfit"]:
        return {"acc": 0.0, "undecided": 1.0}
    count = len(_tokenizer(tokenizer)(text, add_special_tokens=False)["input_ids"])
    finish: FinishReason = "length" if count >= problem["max_new_tokens"] else "end"
    verdict = grade(text, problem["answer"], full_text=True, finish=finish)
    return {"acc": float(verdict.is_correct), "undecided": float(verdict.outcome == "undecided")}


@lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> Any:
    from scdpo.training.model_files import load_tokenizer

    return load_tokenizer(folder)
