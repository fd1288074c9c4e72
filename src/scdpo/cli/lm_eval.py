"""`scdpo lm-eval-task RUN`: a run's evaluation as a task of lm-evaluation-harness."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.errors import RunError, users_file
from scdpo.settings import Settings


class LmEvalTask(Settings):
    """Write a run's evaluation problems as a task of lm-evaluation-harness, graded as we grade. See docs/lm-eval.md."""

    run: Annotated[str, Shown("RUN", is_positional=True)]
    """A run's folder, with its SFT model."""
    out: Annotated[str, Shown("DIR")]
    """A new folder for the task."""
    name: str = "scdpo"
    """What the task is called."""


def lm_eval_task(options: LmEvalTask, console: Console) -> None:
    """Write the task, and say how it is run. Raises RunError and ModelError."""
    from scdpo.evaluation.lm_eval_task import CODE, PROBLEMS, TASK_CODE, TOKENIZER, task_lines, task_yaml
    from scdpo.files import write_whole
    from scdpo.run.directory import RunDirectory
    from scdpo.run.worker import Worker

    run, out = RunDirectory.open(options.run), Path(options.out).expanduser()
    recipe, model = run.recipe, run.round(1).model("sft")
    if recipe.code.format:
        raise RunError(f"{run.path} has solutions that run code, which lm-evaluation-harness does not; scdpo evaluate does")
    if not model.is_dir():
        raise RunError(f"{run.path} has no SFT model yet, whose tokenizer the task needs; run: scdpo sft {run.path}")
    if not options.name.isidentifier():
        raise RunError(f'--name "{options.name}" is not a name of a task; take letters, digits and _')
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; name a new folder with --out")
    worker = Worker(run)
    codec = worker.codec
    lines = list(task_lines(run.evaluation_problems, worker.rules(run.round(1), recipe.evaluation)))
    ends = [codec.tokenizer.convert_ids_to_tokens(id) for id in sorted(codec.end_ids)]
    with users_file():
        out.mkdir(parents=True, exist_ok=True)
    codec.tokenizer.save_pretrained(out / TOKENIZER)
    write_whole(out / PROBLEMS, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    write_whole(out / CODE, TASK_CODE)
    write_whole(out / f"{options.name}.yaml", task_yaml(options.name, ends, recipe.evaluation.max_new_tokens))
    arguments = f"pretrained={run.path / 'models' / 'scdpo'},dtype=float32"
    command = ["lm_eval", "--model", "hf", "--model_args", arguments, "--tasks", options.name, "--include_path", str(out)]
    console.print(
        f"{out}: {len(lines):,} problems of {recipe.evaluation.split}; evaluate a model on them with\n"
        f"  {shlex.join([*command, '--batch_size', '64'])}",
        markup=False,
    )
