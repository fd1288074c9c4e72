"""The prompt of a recipe and of a run, as `scdpo show prompt` shows it, and what is refused before a run is made."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from scdpo.cli.main import main
from scdpo.cli.show_prompt import print_worked
from scdpo.run.directory import RunDirectory
from scdpo.run.recipe import load_recipe
from scdpo.run.worker import Worker


def shown(capsys, *words):
    assert main(["show", "prompt", *words]) == 0
    return capsys.readouterr().out


def test_a_run_shows_what_it_trained_on(finished, capsys):
    """The prompt is that of the first pair problem; the underlined tokens are those of its worked solution and the end."""
    out = shown(capsys, str(finished))
    problem = json.loads((finished / "problems" / "pairs.jsonl").read_text().splitlines()[0])
    prompt, solution = out.split("What is trained")
    assert f"<s>{problem['question']}\n" in prompt and "<s> (1), once" in prompt and "</s> (2)" in prompt
    assert "▔" not in prompt
    begun, _, steps = solution.partition("step 1 (text, and fork 1 after it)")
    underlines = [line for line in steps.splitlines() if "▔" in line]
    assert len(underlines) == len(problem["solution"].splitlines()) + 1, "a line for each step, and the end's"
    words = [word for line in underlines for word in line.split()]
    counted, rest = begun.split(": ")[1].split(" of ", 1)
    assert len(words) == int(counted) < int(rest.split()[0])


def test_outputs_carry_no_underline(coded):
    """In a solution with code the output is given: its tokens stand between underlined ones without an underline."""
    run = RunDirectory.open(coded)
    problem = next(problem for problem in run.pair_problems if "<|execution|>" in (problem.solution or ""))
    file = StringIO()
    print_worked(Console(file=file, width=500), Worker(run).codec, problem)
    lines = file.getvalue().splitlines()
    place, tokens = next((n, line) for n, line in enumerate(lines) if "<|execution|>" in line)
    start = tokens.index("<|execution|>")
    end = tokens.index("<|endofblock|>", start) + len("<|endofblock|>")
    assert "▔" in lines[place + 1][:start] and "▔" not in lines[place + 1][start:end]
    assert "<|endofmessage|>" in lines[-3]


def test_a_question_of_ones_own(finished, capsys):
    question = json.loads((finished / "problems" / "test.jsonl").read_text().splitlines()[3])["question"]
    assert f"<s>{question}" in shown(capsys, str(finished), "--question", question)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quickstart", "--prompt.chat", "true"], "set model.path"),
        (["quickstart", "--prompt.system", "Be brief."], "set prompt.chat = true"),
        (["quickstart", "--prompt.template", "<s>{question}"], "begins its sequence twice (<s>)"),
        (["quickstart", "--prompt.tempate", "x"], 'did you mean "template"'),
        (["nothing"], 'no recipe "nothing"'),
    ],
)
def test_errors_are_one_line(words, message, capsys):
    assert main(["show", "prompt", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_run_is_not_made_with_a_prompt_that_doubles(finished, easy_problems, tmp_path, capsys):
    """A model of one's own is looked at before the folder is: here one whose tokenizer begins sequences itself."""
    words = ["--model.path", str(finished / "models" / "sft"), "--problems.source", str(easy_problems)]
    sizes = ["--problems.sft", "20", "--problems.pairs", "20", "--problems.dev", "0", "--problems.test", "20"]
    out = tmp_path / "run"
    for options, message in (
        (["--prompt.template", "<s>{question}"], "take <s> out of"),
        (["--prompt.chat", "true"], "has no chat template"),
    ):
        assert main(["sft", str(out), *words, *sizes, *options]) == 2
        assert message in capsys.readouterr().err and not out.exists()


def test_chat_options_are_a_table_of_the_recipe(tmp_path):
    file = tmp_path / "r.toml"
    file.write_text('[model]\npath = "m"\n[prompt]\nchat = true\n[prompt.chat_options]\nenable_thinking = false\n')
    recipe = load_recipe(str(file), {"prompt.chat_options.date": "today"})
    assert recipe.prompt.as_chat.options == {"enable_thinking": False, "date": "today"}
    file.write_text(recipe.to_toml())
    assert load_recipe(str(file)) == recipe
