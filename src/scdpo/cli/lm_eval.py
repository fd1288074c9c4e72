"""`scdpo lm-eval-task RUN`: a run's evaluation as a task of lm-evaluation-harness. Its options, and what it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def add_lm_eval_task(commands: Any) -> None:
    text = "write a run's evaluation problems as a task of lm-evaluation-harness, graded as we grade"
    command = commands.add_parser("lm-eval-task", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/lm-eval.md.")
    command.add_argument("run", metavar="RUN", help="a run's folder, with its SFT model")
    command.add_argument("--out", metavar="DIR", required=True, help="a new folder for the task")
    command.add_argument("--name", default="scdpo", help="what the task is called (default: scdpo)")
    command.set_defaults(act=act_lm_eval_task)


def act_lm_eval_task(known: argparse.Namespace, console: Console) -> None:
    """Write the task, and say how it is run. Raises RunError and ModelError."""
    import json
    import shlex
    from pathlib import Path

    from scdpo.errors import RunError
    from scdpo.evaluation.lm_eval_task import CODE, PROBLEMS, TASK_CODE, TOKENIZER, task_lines, task_yaml
    from scdpo.run.directory import RunDirectory
    from scdpo.run.records import write_whole
    from scdpo.run.worker import Worker

    run, out = RunDirectory.open(known.run), Path(known.out).expanduser()
    recipe, model = run.recipe, run.round(1).model("sft")
    if recipe.code.format:
        raise RunError(f"{run.path} has solutions that run code, which lm-evaluation-harness does not; scdpo evaluate does")
    if not model.is_dir():
        raise RunError(f"{run.path} has no SFT model yet, whose tokenizer the task needs; run: scdpo sft {run.path}")
    if not known.name.isidentifier():
        raise RunError(f'--name "{known.name}" is no name of a task; take letters, digits and _')
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; name a new folder with --out")
    worker, tokens = Worker(run), recipe.evaluation.max_new_tokens
    codec = worker.codec
    lines = list(task_lines(run.evaluation_problems, worker.rules(run.round(1), tokens)))
    ends = [codec.tokenizer.convert_ids_to_tokens(id) for id in sorted(codec.end_ids)]
    out.mkdir(parents=True, exist_ok=True)
    codec.tokenizer.save_pretrained(out / TOKENIZER)
    write_whole(out / PROBLEMS, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    write_whole(out / CODE, TASK_CODE)
    write_whole(out / f"{known.name}.yaml", task_yaml(known.name, ends, tokens))
    arguments = f"pretrained={run.path / 'models' / 'scdpo'},dtype=float32"
    command = ["lm_eval", "--model", "hf", "--model_args", arguments, "--tasks", known.name, "--include_path", str(out)]
    console.print(
        f"{out}: {len(lines):,} problems of {recipe.evaluation.split}; evaluate a model on them with\n"
        f"  {shlex.join([*command, '--batch_size', '64'])}",
        markup=False,
    )
