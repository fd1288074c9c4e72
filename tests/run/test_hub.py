"""Models and data sets by hub name, pinned; a run pushed and loaded back. Against a stand-in of the hub, not the real one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard, constants

from scdpo.cli.main import main
from scdpo.cli.push import in_bytes
from scdpo.errors import ModelError, ProblemError, RecipeError, RunError
from scdpo.exchange.tree_file import read_tree_file
from scdpo.hub import HubName, fetch, parse
from scdpo.problems.published import PUBLISHED
from scdpo.problems.records import read_records
from scdpo.problems.source import read_source
from scdpo.run.prepare import prepare as prepare_run
from scdpo.training.model_files import load_model, load_tokenizer, model_folder
from tests.hub_stand_in import TOKEN, HubStandIn

NAMES = {"models": "me/small", "datasets": "me/small-pairs", "spaces": "me/small-page"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub, and an empty cache for what comes from it."""
    stand_in = HubStandIn()
    monkeypatch.setattr(constants, "ENDPOINT", stand_in.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", stand_in.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    yield stand_in
    stand_in.close()


def rows(first: int, count: int) -> bytes:
    """Records of GSM8K's form."""
    lines = ({"question": f"{n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(first, first + count))
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def model_bytes(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def prepare(folder, recipe=None, **fields):
    options = {"problems.sft": "4", "problems.pairs": "4", "problems.dev": "0", "problems.test": "4"}
    return prepare_run(
        folder, recipe, options | {name.replace("_", ".", 1).replace("-", "_"): value for name, value in fields.items()}
    )


@pytest.fixture
def stocked(hub, finished):
    """A hub with a model and a data set of two commits each; v1 is the first."""
    files = model_bytes(finished / "models" / "sft")
    model = hub.add("models", "owner/small", files)
    data = hub.add("datasets", "openai/gsm8k", {"main/train.jsonl": rows(0, 20), "main/test.jsonl": rows(50, 9)})
    for each in (model, data):
        each.refs["v1"] = each.refs["main"]
    model.commit({"README.md": b"# Second"})
    data.commit({"main/train.jsonl": rows(100, 20)})
    return hub


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("owner/name", HubName("owner/name", "main")),
        ("gpt2", HubName("gpt2", "main")),
        ("owner/na.me-1@refs/pr/4", HubName("owner/na.me-1", "refs/pr/4")),
        ("./here", None),
        ("/owner/name", None),
        ("~/name", None),
        ("a/b/c", None),
        ("owner/name@", None),
        ("", None),
    ],
)
def test_names_and_paths(place, name):
    assert parse(place) == name


def test_a_run_keeps_the_commits_that_it_got(stocked, tmp_path):
    """Also where main has moved; other wishes are refused, and its recipe elsewhere takes the same commits."""
    model, data = stocked.repositories["models", "owner/small"], stocked.repositories["datasets", "openai/gsm8k"]
    old = {"owner/small@main": model.refs["main"], "datasets/openai/gsm8k@main": data.refs["main"]}
    wishes = {"model_path": "owner/small", "problems_source": "gsm8k"}
    run = prepare(tmp_path / "run", **wishes)
    assert run.manifest()["revisions"] == old
    assert run.recipe.model.revision == model.refs["main"]
    assert run.recipe.problems.source == f"gsm8k:openai/gsm8k@{data.refs['main']}"
    questions = [problem.question for problem in run.pair_problems]
    assert all(int(question.split()[0]) >= 100 for question in questions)
    model.commit({"README.md": b"# Third"})
    data.commit({"main/train.jsonl": rows(200, 20)})
    asked = len(stocked.requests)
    again = prepare(tmp_path / "run", **wishes)
    assert again.recipe == run.recipe and len(stocked.requests) == asked
    with pytest.raises(RunError, match=r"problems.source: .* there, 'gsm8k@v1' now"):
        prepare(tmp_path / "run", **wishes | {"problems_source": "gsm8k@v1"})
    prepare(tmp_path / "other", **wishes)
    other = prepare(tmp_path / "other", **wishes, model_revision="v1")
    assert other.recipe.model.revision == model.refs["v1"], "no model of it is used yet"
    asked = len(stocked.requests)
    stocked.close()  # and without the hub, from the cache
    copy = prepare_run(tmp_path / "copy", str(tmp_path / "run" / "recipe.toml"), {})
    assert set(copy.manifest()["revisions"].values()) == set(old.values())
    assert [problem.question for problem in copy.pair_problems] == questions
    assert len(stocked.requests) == asked


def test_a_revision_can_be_asked_for(stocked, tmp_path):
    model, data = stocked.repositories["models", "owner/small"], stocked.repositories["datasets", "openai/gsm8k"]
    run = prepare(tmp_path / "run", model_path="owner/small", model_revision="v1", problems_source="gsm8k@v1")
    pins = {"owner/small@v1": model.refs["v1"], "datasets/openai/gsm8k@v1": data.refs["v1"]}
    assert run.manifest()["revisions"] == pins
    assert all(int(problem.question.split()[0]) < 50 for problem in run.pair_problems)


def test_the_task_loads_the_pinned_model(stocked, tmp_path):
    """The run without SFT is the given model, at its commit: told by a mark in its config."""
    model = stocked.repositories["models", "owner/small"]
    config = json.loads(model.files("main")["config.json"])
    model.commit({"config.json": json.dumps(config | {"scdpo_mark": "kept"}).encode()})
    fields = {"model_path": "owner/small", "problems_source": "gsm8k", "problems_sft": "0", "model_context": "64"}
    lengths = {"sampling_max_new_tokens": "40", "evaluation_max_new_tokens": "40"}
    prepare(tmp_path / "run", **fields, **lengths)
    model.commit({"config.json": json.dumps(config | {"scdpo_mark": "moved"}).encode()})
    assert main(["sft", str(tmp_path / "run"), "--workers", "1"]) == 0
    assert json.loads((tmp_path / "run/models/sft/config.json").read_text())["scdpo_mark"] == "kept"


def test_every_source_is_pinned(stocked, tmp_path):
    """And the sets keep their names: no commit gets into the ids of problems."""
    data = stocked.add("datasets", "some/more", {"train.jsonl": rows(300, 9)})
    sources = {
        "problems_source": '["gsm8k", "gsm8k:some/more"]',
        "problems_sft__source": "gsm8k@v1",
        "problems_test__source": "gsm8k",
    }
    run = prepare(tmp_path / "run", **{name.replace("__", "-"): value for name, value in sources.items()})
    assert run.recipe.problems.source[1] == f"gsm8k:some/more@{data.refs['main']}"
    assert set(run.manifest()["revisions"]) == {
        f"datasets/{name}" for name in ("openai/gsm8k@main", "openai/gsm8k@v1", "some/more@main")
    }
    assert {problem.id.partition("/")[0] for problem in run.pair_problems} <= {"gsm8k-1", "gsm8k-2"}


def test_a_hash_in_the_cache_asks_nobody(stocked):
    commit = fetch(parse("owner/small"), "model").name
    asked = len(stocked.requests)
    assert fetch(HubName("owner/small", commit), "model").name == commit
    assert len(stocked.requests) == asked


def test_what_is_cached_serves_without_the_hub(stocked):
    """A branch is what the cache last knew of it."""
    commit = fetch(parse("owner/small"), "model").name
    stocked.close()
    assert model_folder("owner/small").name == commit


def test_the_cache_layout_offline(stocked, tmp_path, monkeypatch, finished):
    """HF_HOME filled elsewhere: refs/main and snapshots/HASH are all that is needed; its folder alone, given as path, too."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for folder, files in {
        "models--some--model": model_bytes(finished / "models" / "sft"),
        "datasets--some--gsm": {"train.jsonl": rows(0, 20)},
    }.items():
        snapshot = tmp_path / "cache" / folder / "snapshots" / ("ab" * 20)
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("ab" * 20)
        for name, content in files.items():
            (snapshot / name).write_bytes(content)
    run = prepare(tmp_path / "run", model_path="some/model", problems_source="gsm8k:some/gsm")
    assert run.manifest()["revisions"] == {"some/model@main": "ab" * 20, "datasets/some/gsm@main": "ab" * 20}
    assert len(read_source(f"gsm8k:{tmp_path}/cache/datasets--some--gsm")[0]) == 20
    assert model_folder(tmp_path / "cache" / "models--some--model").name == "ab" * 20
    assert not stocked.requests


def test_a_download_folder_is_read_without_its_notes(stocked, tmp_path):
    """`hf download --local-dir` leaves a .cache with JSON files of its own."""
    from huggingface_hub import snapshot_download

    snapshot_download("openai/gsm8k", repo_type="dataset", local_dir=tmp_path / "gsm")
    assert list((tmp_path / "gsm" / ".cache").rglob("*.json"))
    assert len(read_source(f"gsm8k:{tmp_path / 'gsm'}")[0]) == 29


def test_weights_that_only_pickle_holds(hub, finished, tmp_path):
    """Fetched only where there are no safetensors; what lies in folders, and what is another library's, never."""
    files = model_bytes(finished / "models" / "sft")
    hub.add(
        "models",
        "a/both",
        files | {"pytorch_model.bin": b"x", "original/w.safetensors": b"x", "consolidated.safetensors": b"x"},
    )
    assert {file.name for file in fetch(parse("a/both"), "model").rglob("*")} == set(files) - {"README.md"}
    del files["model.safetensors"]
    hub.add("models", "a/old", files | {"pytorch_model.bin": b"x"})
    assert (fetch(parse("a/old"), "model") / "pytorch_model.bin").is_file()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("owner/none", r"no folder .*there is no model owner/none, or it is private: check the name, or log in"),
        ("owner/small@v9", r'owner/small has no revision "v9"; name a branch'),
        ("owner/gated", r"owner/gated wants its terms accepted: do so on its page, .*HF_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(stocked, finished, place, message):
    stocked.add("models", "owner/gated", model_bytes(finished / "models" / "sft"), gated=True)
    with pytest.raises(ModelError, match=message) as caught:
        load_tokenizer(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("revision", ["main", "c" * 40])
def test_no_way_to_the_hub(hub, revision, caplog):
    """One question and no retries, also for a commit."""
    hub.close()
    for load, error, name in ((load_tokenizer, ModelError, "o/n"), (read_source, ProblemError, "gsm8k:o/n")):
        with pytest.raises(error, match=r"no answer from http.*o/n@.* is not whole in .*cache.*HF_HOME.*"):
            load(f"{name}@{revision}")
    assert "Retry" not in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_path": "{here}", "model_revision": "v1"}, "is not a name on the hub; leave it out"),
        ({"model_revision": "v1"}, "is not a name on the hub; leave it out"),
        ({"model_path": "o/n@v1"}, 'set model.path = "o/n" and model.revision = "v1"'),
    ],
)
def test_revisions_of_what_has_none(tmp_path, fields, message):
    with pytest.raises(RecipeError, match=message):
        prepare(tmp_path / "run", **{name: value.format(here=tmp_path) for name, value in fields.items()})


def test_push_and_back(hub, finished, tmp_path, monkeypatch, capsys):
    """The model loads by its name with the run's weights, by ours and by transformers; its pairs come with the run's trees."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push = ["push", str(finished), "--to", "me/small", "--private"]
    assert main([*push, "--dry-run"]) == 0
    assert not hub.requests and "model.safetensors" in capsys.readouterr().out
    assert main(push) == 0
    assert set(hub.repositories) == set(NAMES.items())
    assert all(each.private for each in hub.repositories.values())
    model = hub.repositories["models", "me/small"]
    own = finished / "models" / "scdpo"
    assert model.files("main")["model.safetensors"] == (own / "model.safetensors").read_bytes()
    assert (own / "model.safetensors").read_bytes() in hub.uploaded.values()
    weights = load_model(own).state_dict()
    by_transformers = AutoModelForCausalLM.from_pretrained("me/small", cache_dir=tmp_path / "theirs")
    for loaded in (load_model("me/small"), load_model(f"me/small@{model.refs['main']}"), by_transformers):
        assert all((weights[name] == value).all() for name, value in loaded.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained("me/small", cache_dir=tmp_path / "theirs")
    assert tokenizer.get_vocab() == load_tokenizer(own).get_vocab()
    pairs = read_records("me/small-pairs", PUBLISHED["jsonl"])
    trees = fetch(parse("me/small-pairs"), "dataset", ["*.jsonl"]) / "trees.jsonl"
    branches = [branch for tree in read_tree_file(trees) for branch in tree.branches]
    made = json.loads((finished / "results.json").read_text())["pairs"]["scdpo"]["total"]
    assert len(branches) == made and sum("chosen" in record.fields for record in pairs) == made
    space = hub.repositories["spaces", "me/small-page"]
    assert space.created["sdk"] == "static" and space.files("main")["index.html"] == (finished / "report.html").read_bytes()
    commits = [len(each.commits) for each in hub.repositories.values()]
    assert main(push) == 0
    assert [len(each.commits) for each in hub.repositories.values()] == commits, "nothing had changed"


def test_the_card(hub, finished, monkeypatch):
    """What the hub reads of it is what results.json says."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(finished), "--to", "me/small", "--model", "dpo", "--what", "model"]) == 0
    assert set(hub.repositories) == {("models", "me/small")}
    results = json.loads((finished / "results.json").read_text())
    card = ModelCard(hub.repositories["models", "me/small"].files("main")["README.md"].decode())
    (accuracy,) = card.data.eval_results
    own = results["models"]["dpo"]
    assert (accuracy.metric_value, accuracy.metric_args) == (own["accuracy"], {"ci95": own["ci95"], "n": own["n"]})
    assert (accuracy.dataset_split, card.data.library_name, card.data.datasets) == ("test", "transformers", None)
    difference = results["differences"]["dpo - sft"]["difference"]
    assert f"| DPO - SFT | {100 * difference:+.1f} |" in card.text
    assert "/tmp" not in card.content, "no path of this machine"


@pytest.mark.parametrize(
    ("options", "token", "message"),
    [
        (["--to", "me/small"], "", "no token of the hub is here; log in with: hf auth login"),
        (["--to", "me/small"], "hf_wrong", "cannot upload to me/small-pairs: .*401.*; log in as one who may write there"),
        (["--to", "small"], TOKEN, "give it as OWNER/NAME"),
        (["--to", "me/small", "--model", "ppo"], TOKEN, 'has no model "ppo"; there are: sft, rft, dpo, dpo-data-equal, scdpo'),
    ],
)
def test_what_cannot_be_pushed(hub, finished, monkeypatch, capsys, options, token, message):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["push", str(finished), *options]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    assert not hub.repositories


def test_push_as_typed(hub, finished, tmp_path):
    """The command in a process of its own, with nothing but the hub's variables in its environment; it shows progress."""
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "scdpo", "push", str(finished), "--to", "me/small", "--what", "model"]
    inherited = {name: value for name, value in os.environ.items() if not name.endswith(("PROGRESS_BARS", "TQDM_DISABLE"))}
    done = subprocess.run(command, env=inherited | own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"at {hub.repositories['models', 'me/small'].refs['main']}" in done.stdout
    assert "model.safetensors: 100%" in done.stderr


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (13_400_000_000, "13.4 GB")])
def test_sizes(size, text):
    assert in_bytes(size) == text
