"""What is found before anything is spent: each kind of finding with an input that has it and one that has not."""

import importlib.util
import json
import random

import httpx
import pytest

from scdpo.cli.main import main
from scdpo.errors import ProblemError, RecipeError
from scdpo.run.checks.check import check_recipe, refuse
from scdpo.run.checks.data import data_findings
from scdpo.run.checks.machine import machine_findings
from scdpo.run.checks.models import model_findings, plain_chat
from scdpo.run.prepare import prepare
from scdpo.run.recipe import build_recipe


def written(file, *records):
    """A file of records; None stands for an empty line."""
    file.write_text("".join("\n" if record is None else json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def recipe_of(**sections):
    return build_recipe(sections, "mine", {})


def sums(count, first=0):
    """So many sound problems."""
    numbers = range(first, first + count)
    return [{"question": f"What is {n} + 1?", "answer": n + 1, "solution": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in numbers]


def found_in(*sources, **problems):
    """The findings of a recipe's data, as text."""
    recipe = recipe_of(problems={"source": [str(source) for source in sources], **problems})
    return [str(each) for each in data_findings(recipe)]


def test_sound_data_has_no_findings(tmp_path):
    file = written(tmp_path / "p.jsonl", *sums(20))
    assert found_in(file, test_source=str(written(tmp_path / "t.jsonl", *sums(5, first=50)))) == []


FAULTS = {
    "again; it is left out": {"question": "What is 0 + 1?", "answer": 1},
    "differs in case or spaces alone": {"question": "what is 0 +  1?", "answer": 1},
    'states "9" and the answer is "8"': {"question": "Which is 8?", "answer": 8, "solution": "So 9.\n#### 9"},
    "no gold answer": {"question": "Who knows?", "solution": "#### 3"},
    'no "answer"': {"question": "Who asks?"},
    'no "question"': {"answer": 7},
    'id "a" is already at': {"question": "Twice an id?", "answer": 7, "id": "a"},
    "the question of the test problem": {"question": "What is 50 + 1?", "answer": 51},
    "spelt otherwise": {"question": "what is 51 + 1?", "answer": 52},
}


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_is_named_by_its_file_and_line(seed, tmp_path):
    """Wherever the faulty records stand, and however many empty lines there are."""
    draw = random.Random(seed)
    records = [None, *sums(12), None, *sums(3, first=20)]
    records.insert(0, {"question": "First", "answer": 1, "id": "a"})
    lines = {}
    for fault in draw.sample(list(FAULTS), len(FAULTS)):
        place = draw.randrange(3, len(records))  # after the records that some of them repeat
        records.insert(place, FAULTS[fault])
    for number, record in enumerate(records, start=1):
        lines |= {fault: number for fault, faulty in FAULTS.items() if faulty is record}
    file = written(tmp_path / "p.jsonl", *records)
    tests = written(tmp_path / "t.jsonl", *sums(5, first=50))
    findings = found_in(file, test_source=str(tests))
    for fault, number in lines.items():
        assert any(each.startswith(f"{file}:{number}: ") and fault in each for each in findings), (fault, findings)


def test_a_test_split_of_its_own(tmp_path):
    """A folder's test file is evaluated: what another of its files repeats is named."""
    written(tmp_path / "train.jsonl", *[sum | {"id": f"a{n}"} for n, sum in enumerate(sums(5))])
    tests = [sum | {"id": f"b{n}"} for n, sum in enumerate(sums(3, first=50))]
    written(tmp_path / "test.jsonl", *tests)
    assert found_in(f"gsm8k:{tmp_path}") != []  # of another form
    assert found_in(tmp_path) == []
    written(tmp_path / "train.jsonl", *[sum | {"id": f"a{n}"} for n, sum in enumerate(sums(5))], tests[0] | {"id": "c"})
    findings = found_in(tmp_path)
    assert any("train.jsonl:6: the question of the test problem at" in each for each in findings), findings


def test_many_of_a_kind_are_counted(tmp_path):
    file = written(tmp_path / "p.jsonl", *sums(2), *[{"question": "What is 0 + 1?", "answer": 1}] * 8)
    findings = found_in(file)
    assert len(findings) == 4 and findings[-1] == f"and 5 more questions of {file} that come twice"


def test_packages(monkeypatch):
    asked = {
        "engine": {"kind": "vllm"},
        "ray": {"address": "auto"},
        "sft": {"report_to": ["wandb"]},
        "rft": {"lora": {"rank": 4, "quantize": "nf4"}},
        "problems": {"source": "gsm_symbolic"},
        "model": {"path": "m"},
    }
    wanted = {"vllm", "ray", "wandb", "bitsandbytes", "reasoning_gym"}
    monkeypatch.setattr("scdpo.run.checks.machine.find_spec", lambda name: None)
    recipe = recipe_of(**asked | {"run": {"arms": ["dpo", "scdpo"]}})
    findings = machine_findings(recipe)
    assert {each.what.partition(" ")[0] for each in findings} == wanted
    assert all(each.refused and "pip install" in each.what for each in findings)
    assert machine_findings(recipe_of()) == []
    there = importlib.util.find_spec("json")
    monkeypatch.setattr("scdpo.run.checks.machine.find_spec", lambda name: there)
    assert not [each for each in machine_findings(recipe) if each.refused]


def test_silent_servers_are_said(tmp_path):
    engine = {"kind": "server", "server": {"addresses": ["http://localhost:9/v1", "nonsense"]}}
    findings = machine_findings(recipe_of(engine=engine))
    assert len(findings) == 2 and not any(each.refused for each in findings)
    assert "http://localhost:9/v1 does not answer" in findings[0].what


@pytest.mark.parametrize(("key", "sent"), [("", {}), ("k", {"Authorization": "Bearer k"})])
def test_a_server_is_asked_with_the_key_that_there_is(key, sent, monkeypatch):
    asked = []
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setattr("httpx.get", lambda url, headers, timeout: asked.append((url, headers)) or httpx.Response(200))
    server = {"kind": "server", "server": {"addresses": ["http://one:1/v1/"]}}
    assert machine_findings(recipe_of(engine=server)) == []
    assert asked == [("http://one:1/v1/models", sent)]


def test_the_models_own_context(tmp_path):
    """A longer one than it was made for is said, a longer one than it looks back is refused."""
    config = {"max_position_embeddings": 128, "sliding_window": 64}

    def found(context, **more):
        written(tmp_path / "config.json", config | more)
        model = {"path": str(tmp_path), "context": context}
        recipe = recipe_of(model=model, sampling={"max_new_tokens": 9}, evaluation={"max_new_tokens": 9})
        return [(each.what, each.refused) for each in model_findings(recipe)]

    (longer, is_refused), (window, window_is_refused) = found(256)
    assert "is 256, and this model was made for 128 tokens" in longer and not is_refused
    assert "looks back 64 tokens at most; set it to 64 or less" in window and window_is_refused
    assert [refused for _, refused in found(256, use_sliding_window=False)] == [False]
    assert [refused for _, refused in found(128)] == [True]
    assert found(64) == [] and found(128, sliding_window=None) == []


def test_a_chat_model_asked_plainly(smollm2_tokenizer, story_tokenizer):
    assert "set it to true for an instruct model" in plain_chat(recipe_of(), smollm2_tokenizer)[0].what
    assert plain_chat(recipe_of(), story_tokenizer) == []
    assert plain_chat(recipe_of(model={"path": "m"}, prompt={"chat": True}), smollm2_tokenizer) == []


def test_all_misfits_of_a_recipe_at_once():
    table = {
        "run": {"arms": ["dpo"], "reference": "kept"},
        "training": {"lora": {"quantize": "nf4"}, "loss": {"kind": "ipo", "label_smoothing": 0.1}},
        "model": {"context": 64},
        "prompt": {"template": "no place", "system": "s"},
        "engine": {"kind": "server"},
    }
    with pytest.raises(RecipeError) as error:
        build_recipe(table, "mine", {})
    lines = str(error.value).splitlines()
    assert all(line.startswith("recipe mine: ") for line in lines)
    for part in (
        'run.arms has no "scdpo"',
        "run.reference = ",
        "training.lora.quantize freezes",
        "training.loss.label_smoothing",
        "sampling.max_new_tokens is 512",
        "evaluation.max_new_tokens is",
        'prompt.template has no "{question}"',
        "prompt.system is for chat",
        'engine.kind is "server"',
    ):
        assert sum(part in line for line in lines) == 1, part


def test_adapters_that_the_engine_would_not_load():
    lora = {"lora": {"rank": 8}}
    with pytest.raises(RecipeError, match=r'training.lora leaves adapters, which engine.kind "vllm" does not load'):
        recipe_of(engine={"kind": "vllm"}, training=lora)
    recipe_of(engine={"kind": "vllm"}, sft=lora, model={"path": "m"})  # merged before anything is sampled
    recipe_of(engine={"kind": "vllm"}, rft=lora, run={"arms": ["dpo", "scdpo"]})  # not trained


def test_a_run_is_refused_with_all_that_is_found(tmp_path, capsys, monkeypatch):
    """By `run` and `sft` before anything is written, and by `check`, which exits with 2 too; a single fault keeps its type."""
    find = importlib.util.find_spec
    monkeypatch.setattr("scdpo.run.checks.machine.find_spec", lambda name: None if name == "wandb" else find(name))
    file = written(tmp_path / "p.jsonl", *sums(30), {"question": "Who asks?"}, {"answer": 7})
    few = ["--problems.sft", "8", "--problems.pairs", "8", "--problems.dev", "0", "--problems.test", "8"]
    words = ["--problems.source", str(file), *few, "--sft.report_to", "wandb"]
    for command in (["run", "--out", str(tmp_path / "run"), *words], ["sft", str(tmp_path / "run"), *words]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert 'p.jsonl:31: no "answer"' in error and 'p.jsonl:32: no "question"' in error
        assert "wandb is not installed" in error
        assert not (tmp_path / "run").exists()
    assert main(["check", "quickstart", *words]) == 2
    said = capsys.readouterr()
    assert said.out.count("refused  ") == 3 and "would be refused for 3 of these" in said.err
    written(file, *sums(30), {"question": "Who asks?"})
    with pytest.raises(ProblemError, match=r'p.jsonl:31: no "answer"'):
        prepare(tmp_path / "run", None, {"problems.source": str(file)})


def test_what_is_not_refused_is_said_once(tmp_path, capsys):
    file = written(tmp_path / "p.jsonl", *sums(30), {"question": "What is 0 + 1?", "answer": 1})
    few = ["--problems.sft", "8", "--problems.pairs", "8", "--problems.dev", "0", "--problems.test", "8"]
    assert main(["check", "quickstart", "--problems.source", str(file), *few]) == 0
    said = capsys.readouterr().out
    assert f"note     {file}:31: the question of {file}:1 again" in said and "nothing is refused" in said
    words = [*few, "--problems.source", str(file), "--sft.epochs", "1", "--model.width", "16", "--model.layers", "1"]
    assert main(["sft", str(tmp_path / "run"), *words]) == 0
    assert "scdpo: note: " in (text := capsys.readouterr().err) and "again" in text
    assert main(["sft", str(tmp_path / "run")]) == 0
    assert "note: " not in capsys.readouterr().err


def test_every_source_and_the_model_that_cannot_be_read_are_told_at_once(tmp_path):
    sources = [str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl")]
    findings, error = check_recipe(recipe_of(problems={"source": sources}, model={"path": str(tmp_path / "nothing")}))
    assert [each.what for each in findings] == [
        *(f"cannot read problems from {source}: No such file or directory" for source in sources),
        f'no model folder at "{tmp_path / "nothing"}"; give a folder in transformers\' layout or a hub name',
    ]
    with pytest.raises(RecipeError, match=r"one.jsonl[^\n]*\n[^\n]*two.jsonl[^\n]*\nno model folder"):
        refuse(findings, error)


def test_a_check_fetches_no_weights(tmp_path, monkeypatch, capsys):
    """A model that is on the hub alone is not looked at: its weights may take hours."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("scdpo.hub.fetch", lambda *asked: pytest.fail("fetched"))
    assert main(["check", "quickstart", "--model.path", "somebody/large", "--sft.epochs", "1"]) == 0
    assert "note     model.path: somebody/large is not on this machine" in capsys.readouterr().out


def test_the_material_is_that_of_the_run(tmp_path):
    file = written(tmp_path / "p.jsonl", *sums(30))
    problems = {"source": str(file), "sft": 8, "pairs": 8, "dev": 0, "test": 8}
    findings, material = check_recipe(recipe_of(problems=problems))
    assert not findings and refuse(findings, material) is material
    assert {split: len(found) for split, found in material.splits.items()} == {"sft": 8, "pairs": 8, "dev": 0, "test": 8}
