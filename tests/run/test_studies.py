"""Credit and temperature through the commands that users type: what the records say, files of one's own, errors with a cure."""

import json
import shutil

import pytest

from scdpo.cli.main import main
from scdpo.credit.scoring import credit_row, token_scores
from scdpo.problems.step_oracle import first_error
from scdpo.run.directory import RunDirectory
from scdpo.run.prepare import as_asked
from scdpo.run.stages.credit import credit_samples
from scdpo.run.studies import read_credited, read_temperatures
from scdpo.run.worker import Worker
from scdpo.solutions.solution import Solution
from scdpo.training.model_files import load_model
from tests.run.conftest import vouch


@pytest.fixture(scope="module")
def processbench_file(finished, tmp_path_factory):
    """The run's samples in ProcessBench's published form, labels by the oracle: one JSON array."""
    run = RunDirectory.open(finished)
    items = []
    for problem, drawn in zip(run.evaluation_problems, credit_samples(run.round(1)), strict=False):
        for sample in drawn.samples:
            steps = [step.text.rstrip("\n") for step in sample.steps]
            error = first_error(problem, steps)
            if error is None or error.step < len(steps):
                label = -1 if error is None else error.step
                items.append({"id": f"b-{len(items)}", "problem": problem.question, "steps": steps, "label": label})
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    file.write_text(json.dumps(items), encoding="utf-8")
    return file


def credit(*words, out):
    assert main(["credit", *map(str, words), "--most", "0", "--out", str(out)]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_the_stage_credits_the_wrong_samples(finished):
    """Each wrong sample, under every model; the values are the models' own log-probs, held against the SFT model's."""
    run = RunDirectory.open(finished)
    first, codec = run.round(1), Worker(run).codec
    problems = list(run.evaluation_problems)[:50]
    samples = list(credit_samples(first))
    assert [record.problem for record in samples] == [problem.id for problem in problems]
    assert all(len(record.samples) == 2 for record in samples)
    wrong = [(p, s) for p, record in zip(problems, samples, strict=True) for s in record.samples if s.verdict.is_wrong]
    credited = read_credited(run)
    assert [each.text for each in credited] == [solution.text for _, solution in wrong]
    assert set(credited[0].values) == {"sft-log-prob", "rft", "dpo", "dpo-data-equal", "scdpo"}
    rows = [credit_row(p.id, p.question, s, codec) for p, s in wrong[:5]]
    sft, scdpo = (token_scores(load_model(first.model(name)), rows, 4096) for name in ("sft", "scdpo"))
    for each, own, other in zip(credited, scdpo, sft, strict=False):
        assert each.values["sft-log-prob"] == pytest.approx(other, abs=1e-5)
        beta = run.recipe.training.beta
        assert each.values["scdpo"] == pytest.approx([beta * (a - b) for a, b in zip(own, other, strict=True)], abs=1e-4)


def test_results_hold_the_localisation(finished):
    results = json.loads((finished / "results.json").read_text())
    found = results["localisation"]
    for score in ("sft-log-prob", "dpo", "dpo-data-equal", "scdpo"):
        low, high = found[score]["first_wrong_step"]["ci95"]
        assert 0 <= low <= found[score]["first_wrong_step"]["rate"] <= high <= 1
        assert 0 <= found[score]["token_auroc"]["auroc"] <= 1
    assert found["solutions"] == sum(each.error_step is not None for each in read_credited(RunDirectory.open(finished)))


def test_temperature_zero_is_the_greedy_evaluation(finished):
    """The study's first point by the answers of the evaluation; the others are samples, a problem each."""
    run = RunDirectory.open(finished)
    points = read_temperatures(run)
    for model in ("sft", "scdpo"):
        answers = [Solution.from_json(record) for record in run.round(1).answers(model)][:24]
        assert [point.temperature for point in points[model]] == [0, 1.0, 1.5]
        assert points[model][0].accuracy.value == sum(s.verdict.is_correct for s in answers) / 24
        assert all(point.accuracy.n == 24 for point in points[model])
        assert points[model][2].garbled.value >= points[model][0].garbled.value


def test_a_file_in_processbenchs_form(finished, processbench_file, tmp_path, capsys):
    """Steps and labels as published: the same values as the stage's for the same solutions, its labels, and an F1."""
    words = ("--models", "scdpo", "sft-log-prob", "--json", tmp_path / "figures.json")
    lines = credit(finished, processbench_file, *words, out=tmp_path / "out.jsonl")
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    f1 = figures["processbench"]["scdpo"]["f1"]
    assert f"{100 * f1['f1']:.1f} [" in printed and f1["n"] == len(lines)
    assert figures["localisation"]["solutions"] == figures["processbench"]["scdpo"]["first_wrong_step"]["n"]
    labels = {item["id"]: item["label"] for item in json.loads(processbench_file.read_text())}
    assert all(line["wrong"] == labels[line["id"]] for line in lines)
    assert len(lines) == len(labels) or f": {len(labels) - len(lines)}, first" in printed, "what is left out is told"
    staged = {(each.question, each.text): each for each in read_credited(RunDirectory.open(finished))}
    shared = [(line, staged[key]) for line in lines if (key := (line["question"], line["text"])) in staged]
    assert len(shared) > 5
    for line, each in shared:
        assert line["tokens"]["values"]["scdpo"] == pytest.approx(each.values["scdpo"], abs=1e-4)
        assert [step["sums"]["scdpo"] for step in line["steps"]] == pytest.approx(each.step_sums("scdpo"), abs=1e-4)


def test_a_runs_own_records_keep_their_ids(finished, tmp_path):
    """answers/sft.jsonl as the file: the generated ids as they are, and the oracle's word on each."""
    lines = credit(finished, finished / "answers" / "sft.jsonl", out=tmp_path / "out.jsonl")
    run = RunDirectory.open(finished)
    answers = [Solution.from_json(record) for record in run.round(1).answers("sft")]
    assert [tuple(line["tokens"]["ids"][: len(a.ids)]) for line, a in zip(lines, answers, strict=True)] == [
        a.ids for a in answers
    ]
    true = [line["right"] for line in lines if line["wrong"] == -1]
    assert true and False not in true, "true steps lead to the answer"


def test_a_folder_is_held_against_a_reference(finished, tmp_path):
    """A model by its folder gives what it gives by its name; against itself, nothing."""
    file = tmp_path / "own.jsonl"
    problem = next(iter(RunDirectory.open(finished).evaluation_problems))
    file.write_text(json.dumps({"question": problem.question, "solution": problem.solution, "answer": problem.answer}))
    folder = str(finished / "models" / "dpo")
    (line,) = credit(finished, file, "--models", folder, "dpo", out=tmp_path / "out.jsonl")
    assert line["tokens"]["values"][folder] == line["tokens"]["values"]["dpo"] and line["right"] is True
    (line,) = credit(finished, file, "--models", folder, "--reference", "dpo", out=tmp_path / "out.jsonl")
    assert set(line["tokens"]["values"][folder]) == {0.0}


def test_the_terminal_marks_the_steps(finished, processbench_file, capsys):
    assert main(["credit", str(finished), str(processbench_file), "--most", "40"]) == 0
    printed = capsys.readouterr().out
    assert "✗ 1" in printed and "◀" in printed and "scdpo, ±" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "scpdo"], "scores no scpdo; it scores sft-log-prob, rft, dpo, dpo-data-equal, scdpo; others can"),
        (["{file}", "--out", "{gone}/out.jsonl"], "is not a folder; make it, or name another place for out.jsonl"),
        (["{stepless}"], "has no solution that can be scored"),
        (["{file}", "--models", "scpdo"], 'no model "scpdo"; there are: sft-log-prob, sft, rft, dpo, dpo-data-equal, scdpo'),
        (["{gone}"], "cannot read problems from"),
        (["{empty}"], 'no "solution"; give "question" and "solution", or ProcessBench'),
        (["{label}"], '"label" is 7, not the place of a step from 0 to 1, or -1 for none'),
        (["{unspelled}"], "has no solution that can be scored; see docs/credit.md"),
        (["--credit.samples", "5"], "credit.samples: 2 there, 5 now"),
    ],
)
def test_errors_name_the_cure(finished, processbench_file, tmp_path, capsys, words, message):
    texts = {
        "empty": {"question": "a"},
        "stepless": {"question": "Leo has", "steps": [], "solution": "", "verdict": {"outcome": "undecided"}, "finish": "end"},
        "label": {"problem": "Ben has", "steps": ["a", "b"], "label": 7},
        "unspelled": {"question": "漢字", "solution": "漢字"},
    }
    question = next(iter(RunDirectory.open(finished).evaluation_problems)).question
    texts["label"] |= {"problem": question, "steps": ["#### 1", "#### 1"]}
    texts["stepless"] |= {"question": question}
    for name, record in texts.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    places = {name: tmp_path / f"{name}.jsonl" for name in (*texts, "gone")} | {"file": processbench_file}
    assert main(["credit", str(finished), *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_a_study_can_be_made_larger_later(finished, tmp_path, capsys):
    """More problems of a study on a finished run: what is there and still fits stays, the rest is made, the recipe says so."""
    folder = tmp_path / "more"
    shutil.copytree(finished, folder)
    before = (folder / "answers" / "sft-t1-0.jsonl").read_bytes()
    words = ["--temperature.temperatures", "[0, 0.5, 1.0, 1.5]", "--temperature.models", '["sft"]']
    assert main(["temperature", str(folder), "--workers", "1", *words]) == 0
    assert (folder / "answers" / "sft-t1-0.jsonl").read_bytes() == before
    assert len((folder / "answers" / "sft-t0.5-0.jsonl").read_text().splitlines()) == 24
    assert "Accuracy by temperature, 24 test problems" in capsys.readouterr().out
    assert (folder / "figures" / "temperature.svg").read_text().startswith("<svg")
    run = RunDirectory.open(folder)
    assert run.recipe.temperature.models == ("sft",)
    assert [point.temperature for point in read_temperatures(run)["sft"]] == [0, 0.5, 1.0, 1.5]
    assert main(["temperature", str(folder), "--temperature.problems", "0"]) == 2
    assert "is 0; name how many: scdpo temperature" in capsys.readouterr().err
    assert main(["temperature", str(folder), "--temperature.problems", "24"]) == 0
    assert "already there" in capsys.readouterr().out, "what a study made smaller does not read stays"


def test_a_study_grows_past_its_blocks(finished, tmp_path):
    """24 problems in blocks of 20, then 60: the first block stays, the second is made whole. A recipe that knows nothing of the
    growth takes nothing away."""
    folder = tmp_path / "more"
    shutil.copytree(finished, folder)
    file = folder / "answers" / "sft-t1.5-0.jsonl"
    before = file.read_bytes()
    assert main(["temperature", str(folder), "--workers", "1", "--temperature.problems", "60"]) == 0
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 60 and before.startswith(b"".join(lines[:20]))
    run = as_asked(RunDirectory.open(folder), {}, str(finished / "recipe.toml"))
    assert run.recipe.temperature.problems == 60
    assert RunDirectory.open(folder).recipe.temperature.problems == 60
    assert [point.accuracy.n for point in read_temperatures(run)["sft"]] == [60] * 3


def test_an_interrupted_growth_of_credit_mixes_nothing(finished, tmp_path):
    """Samples are there for 60 problems and log-probs for 50: nothing is read until both belong together."""
    folder = tmp_path / "grown"
    shutil.copytree(finished, folder)
    run = as_asked(RunDirectory.open(folder), {"credit.problems": "60"})
    assert read_credited(run) == []
    assert main(["credit", str(folder), "--workers", "1", "--most", "0"]) == 0
    assert len(list(credit_samples(RunDirectory.open(folder).round(1)))) == 60
    grown, before = read_credited(RunDirectory.open(folder)), read_credited(RunDirectory.open(finished))
    questions = {problem.question for problem in list(run.evaluation_problems)[:40]}
    first = lambda credited: [each.text for each in credited if each.question in questions]  # noqa: E731
    assert first(grown) == first(before) and len(grown) > len(before)


def test_credit_settings_are_free_until_something_is_sampled(finished, tmp_path, capsys):
    """A run that left credit out may still choose how to sample for it."""
    folder = tmp_path / "late"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "credit")
    words = ["--credit.problems", "20", "--credit.samples", "1", "--workers", "1", "--most", "0"]
    assert main(["credit", str(folder), *words]) == 0
    assert all(len(each.samples) == 1 for each in credit_samples(RunDirectory.open(folder).round(1)))
    assert main(["report", str(folder)]) == 0


def test_problems_without_facts_are_credited_without_an_oracle(finished, tmp_path, capsys):
    """Nobody knows the first wrong step: values all the same, no localisation, and a word on why."""
    folder = tmp_path / "unjudged"
    shutil.copytree(finished, folder)
    file = folder / "problems" / "test.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "facts"}) + "\n" for line in lines))
    vouch(folder)
    assert main(["credit", str(folder), "--most", "1"]) == 0
    assert "do not know their first wrong steps" in capsys.readouterr().out
    assert main(["report", str(folder)]) == 0
    results = json.loads((folder / "results.json").read_text())
    assert "localisation" not in results and "temperature" in results


def test_a_model_with_other_words_is_refused(finished, tmp_path, capsys):
    """Its log-probs would be of other texts."""
    from scdpo.training.model_files import save_model
    from scdpo.training.scratch import make_model, make_tokenizer
    from scdpo.training.settings import ModelSettings

    tokenizer = make_tokenizer(["some other words"], 64)
    save_model(make_model(ModelSettings(width=16, layers=1, heads=2, context=64), tokenizer, 1), tokenizer, tmp_path / "m", "")
    assert main(["credit", str(finished), str(finished / "answers" / "sft.jsonl"), "--models", str(tmp_path / "m")]) == 2
    assert "another vocabulary than the run's models" in capsys.readouterr().err


def test_rewards_of_a_later_round_have_their_own_reference(finished, monkeypatch):
    """scdpo.2 is held against what round 2 started from: the scdpo of round 1."""
    from scdpo.cli.credit import CreditOptions, find_models

    run = RunDirectory.open(finished)
    settings = run.recipe.run.model_copy(update={"rounds": 2})
    run = RunDirectory(finished, run.recipe.model_copy(update={"run": settings}))
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: True)
    folders, references = find_models(run, CreditOptions(models=("scdpo.2", "scdpo")))
    assert references == {"scdpo.2": "scdpo", "scdpo": "sft"}
    assert folders["scdpo"] == finished / "models" / "scdpo"
    assert folders["scdpo.2"] == finished / "rounds" / "2" / "models" / "scdpo"
