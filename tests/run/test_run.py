"""Whole runs, through the command that users type: results, resuming, equal records for any number of workers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from scdpo.cli.main import main
from scdpo.grading.grade import grade
from scdpo.run.directory import RunDirectory
from scdpo.sampling.arms import ARMS
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_tokenizer

STUDIES = (
    *(f"answers/{draw}.jsonl" for draw in ("sft-t1-0", "sft-t1-1", "sft-t1.5-0", "scdpo-t1-0", "scdpo-t1.5-0")),
    *(f"credit/log_probs/{model}.jsonl" for model in ("sft", *ARMS)),
)
RECORDS = ("samples.jsonl", "trees.jsonl", *(f"answers/{model}.jsonl" for model in ("sft", *ARMS)), *STUDIES)


def records(folder: Path) -> dict[str, bytes]:
    """Those that the run's recipe wants."""
    return {name: (folder / name).read_bytes() for name in RECORDS if (folder / name).exists()}


def weights(folder: Path) -> dict[str, bytes]:
    return {model: (folder / "models" / model / "model.safetensors").read_bytes() for model in ("sft", *ARMS)}


def same_results(first: Path, second: Path) -> bool:
    """Equal results.json but for the times and the folder's name."""
    results = [json.loads((folder / "results.json").read_text()) for folder in (first, second)]
    for result in results:
        del result["stage_seconds"], result["run"]
    return results[0] == results[1]


def test_a_run_leaves_its_results(finished):
    results = json.loads((finished / "results.json").read_text())
    assert set(results["models"]) == {"sft", "rft", "dpo", "dpo-data-equal", "scdpo"}
    for model in results["models"].values():
        low, high = model["ci95"]
        assert 0 <= low <= model["accuracy"] <= high <= 1
        assert model["n"] == 60
    assert results["models"]["sft"]["accuracy"] > 0.3, "the tiny model learned its sums"
    assert results["differences"]["scdpo - sft"]["n"] == 60
    assert results["pairs"]["dpo"]["total"] > 0
    assert results["pairs"]["dpo-data-equal"]["step_controlled"] == 0
    assert results["pairs"]["scdpo"]["naive"] == results["pairs"]["dpo"]["naive"]
    assert set(results["stage_seconds"]) == {"sft", "sample", "fork", "train", "evaluate", "credit", "temperature", "report"}


def test_the_pages_say_what_the_results_say(finished):
    results = json.loads((finished / "results.json").read_text())
    accuracy = f"{100 * results['models']['scdpo']['accuracy']:.1f} ["
    for name in ("report.md", "report.html"):
        text = (finished / name).read_text()
        assert accuracy in text
    table = (finished / "tables" / "differences.md").read_text()
    assert table in (finished / "report.md").read_text()
    rows = [line for line in table.splitlines() if " - " in line and line.startswith("|")]
    assert len(rows) == len(results["differences"])
    for row, difference in zip(rows, results["differences"].values(), strict=True):
        low, high = difference["ci95"]
        assert f"[{100 * low:+.1f}, {100 * high:+.1f}]" in row
        assert ("not resolved" in row) != difference["resolved"]
        assert not (difference["resolved"] and low <= 0 <= high)
        assert ("is better than" in row or "is worse than" in row) == difference["resolved"]
    page = (finished / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_the_manifest_knows_the_run(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert set(manifest["fingerprints"]) == {"sft", *ARMS}
    assert {"torch", "transformers"} <= set(manifest["packages"])
    assert manifest["seed"] == 42


def test_the_log_of_the_run_has_commands_and_stages_with_their_times(finished):
    lines = (finished / "logs" / "scdpo.log").read_text().splitlines()
    timed = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ +(scdpo.*)")
    ours = [match[1] for match in map(timed.fullmatch, lines) if match]  # libraries may have logged lines of their own
    assert timed.fullmatch(lines[0])
    assert ours[0].startswith(f"scdpo: scdpo run --out {finished} --workers 1 --problems.sft 300")
    for stage in ("sft: ", "sample: ", "report: "):
        assert any(line.startswith(f"scdpo.run.making: {stage}") for line in ours)
    assert "scdpo: done" in ours


def test_a_log_ends_with_the_facts_of_its_training(finished):
    facts = {arm: json.loads((finished / "logs" / f"{arm}.jsonl").read_text().splitlines()[-1]) for arm in ARMS}
    assert facts["scdpo"]["pairs"] > facts["dpo"]["pairs"] > 0
    assert facts["rft"]["solutions"] == facts["dpo"]["trees"]
    assert all(not fact["dropped"] for fact in facts.values())


def test_a_step_controlled_record_is_what_the_paper_says(finished):
    """From the records alone: the ids spell the steps' texts, kept and own joined give an answer that is wrong, the first own
    step is sampled at 1.1 and each later one 0.05 hotter."""
    run = RunDirectory.open(finished)
    codec = Codec(load_tokenizer(finished / "models" / "sft"))
    answers = {problem.id: problem.answer for problem in run.pair_problems}
    trees = [record.tree for record in run.round(1).read_trees() if record.tree]
    controlled = [(tree, branch) for tree in trees for branch in tree.branches if branch.is_step_controlled]
    assert controlled
    for tree, branch in controlled:
        assert 0 < branch.fork < len(tree.trunk.steps) - 1, "never the step that only states the answer"
        whole = tree.whole(branch)
        ids = [id for step in (*tree.trunk.steps[: branch.fork], *branch.steps) for id in step.ids]
        assert codec.spell(ids).text == whole.text
        assert grade(whole.text, answers[tree.problem]).is_wrong
        assert grade(tree.trunk.text, answers[tree.problem]).is_correct
        ramp = [round(min(1.1 + 0.05 * place, 1.4), 9) for place in range(len(branch.steps))]
        assert [round(step.temperature, 9) for step in branch.steps] == ramp


def test_running_again_changes_nothing(finished, capsys, small_options):
    before = records(finished)
    stamps = {path.name: path.stat().st_mtime for path in (finished / "models").iterdir()}
    assert main(["run", "--out", str(finished)]) == 0
    assert main(["run", "--out", str(finished), *small_options]) == 0
    assert records(finished) == before
    assert {path.name: path.stat().st_mtime for path in (finished / "models").iterdir()} == stamps
    assert capsys.readouterr().out.count("already there") == 14


def test_two_workers_and_kill_nine_give_the_same_bytes(finished, tmp_path, small_options):
    """Killed with SIGKILL inside two trainings, in sampling, forking and credit, and continued, with two workers:
    records, weights and results equal those of one worker that was never interrupted."""
    folder = tmp_path / "two"
    command = [sys.executable, "-m", "scdpo", "run", "--out", str(folder), "--workers", "2", *small_options]
    inside_sft, inside_scdpo = (f"models/{name}.checkpoints/checkpoint-*" for name in ("sft", "scdpo"))
    for sign in (inside_sft, "samples.jsonl", "trees.jsonl", inside_scdpo, "credit/log_probs/rft.jsonl"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 240
        while not any(path.stat().st_size for path in folder.glob(sign)):
            assert process.poll() is None, f"the run ended before {sign}"
            assert time.monotonic() < deadline, f"{sign} did not come"
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"the run ended before it was killed at {sign}"
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert records(folder) == records(finished)
    assert weights(folder) == weights(finished)
    assert same_results(folder, finished)


def test_workers_do_not_outlive_a_killed_parent(tmp_path, small_options):
    folder = tmp_path / "orphans"
    command = [sys.executable, "-m", "scdpo", "run", "--out", str(folder), "--workers", "2", *small_options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while not (folder / "samples.jsonl").exists() and process.poll() is None:
        time.sleep(0.05)
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert children
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_an_interruption_says_how_to_go_on(tmp_path, small_options):
    folder = tmp_path / "interrupted"
    command = [sys.executable, "-m", "scdpo", "sft", str(folder), *small_options, "--sft.epochs", "1000"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs are started to ignore
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    steps = lambda: {path.name for path in folder.glob("models/sft.checkpoints/checkpoint-*")}  # noqa: E731
    while not steps() and process.poll() is None:  # before its first step a training is interrupted like anything else
        time.sleep(0.1)
    before = steps()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "writing a checkpoint after this step" in said and "interrupted; run the same command again to continue" in said
    assert process.returncode == 130
    assert steps() != before, "a checkpoint of the step at which it was interrupted"


def test_stages_one_by_one_give_the_same_run(finished, tmp_path, small_options):
    folder = str(tmp_path / "staged")
    assert main(["sft", folder, "--workers", "1", *small_options]) == 0
    for stage in ("sample", "fork", "train", "evaluate", "credit", "temperature", "report"):
        assert main([stage, folder, "--workers", "1"]) == 0
    assert records(Path(folder)) == records(finished)
    assert same_results(Path(folder), finished)


def test_a_model_folder_can_be_the_start(finished, tmp_path, small_options):
    """model.path: a local folder in the hub's layout; with problems.sft = 0 it is taken as it is."""
    folder = tmp_path / "given"
    options = [*small_options, "--model.path", str(finished / "models" / "sft"), "--problems.sft", "0"]
    assert main(["sft", str(folder), *options]) == 0
    one, other = ((root / "models" / "sft" / "model.safetensors").read_bytes() for root in (finished, folder))
    assert one == other
    assert main(["sample", str(folder), "--workers", "1"]) == 0


def test_a_model_with_code_of_its_own(finished, tmp_path, small_options, capsys):
    """Refused with the cure unless model.trust_remote_code is set; then its code goes on with the run's models."""
    own = shutil.copytree(finished / "models" / "sft", tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    config |= {"model_type": "own_llama", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnLlama"}}
    (own / "config.json").write_text(json.dumps(config))
    (own / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own_llama'\n"
        "class OwnLlama(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    options = [*small_options, "--model.path", str(own), "--problems.sft", "0"]
    assert main(["sft", str(tmp_path / "run"), *options]) == 2
    assert "set model.trust_remote_code = true" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["sft", str(tmp_path / "run"), *options, "--model.trust_remote_code", "true"]) == 0
    assert (tmp_path / "run" / "models" / "sft" / "own.py").exists()
    assert main(["sample", str(tmp_path / "run"), "--workers", "1"]) == 0


def test_sft_with_adapters_leaves_a_plain_model(finished, tmp_path, small_options):
    """sft.lora: the adapters are merged, also where a run was stopped between training and merging."""
    base = finished / "models" / "sft"
    lora = {"--sft.lora.rank": "4", "--sft.optimizer": "adamw", "--sft.epochs": "0.5", "--model.path": str(base)}
    options = [*small_options, *(word for field in lora.items() for word in field)]
    folders = [tmp_path / name for name in ("whole", "stopped")]
    assert main(["sft", str(folders[0]), *options]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scdpo.training.adapters.merged", interrupted)
        assert main(["sft", str(folders[1]), *options]) == 130
    assert sorted(path.name for path in (folders[1] / "models").iterdir()) == ["sft.adapter", "sft.from.json"]
    assert main(["sft", str(folders[1])]) == 0
    models = [(folder / "models" / "sft" / "model.safetensors").read_bytes() for folder in (*folders, finished)]
    assert models[0] == models[1]
    assert models[0] != models[2]
    assert sorted(path.name for path in (folders[1] / "models").iterdir()) == ["sft", "sft.from.json"]


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "--out", "{run}", "--sampling.temperature", "0.9"], "sampling.temperature: 1.0 there, 0.9 now"),
        (["sample", "{run}", "--fork.attempts", "3"], "fork.attempts: 8 there, 3 now"),
        (["run", "--out", "{other}"], "is not a run and not empty; name a new folder"),
        (["evaluate", "{other}"], "is not a run (it holds no recipe.toml)"),
        (["report", "{new}"], "start one with: scdpo run --out"),
        (["run", "--out", "{new}", "--sampling.temprature", "0.9"], 'did you mean "temperature"?'),
        (["run", "--out", "{new}", "--model.path", "{other}/nowhere"], "no model folder at"),
        (["run", "--out", "{new}", "--model.path", "{other}"], "cannot load"),
        (["run", "--out", "{new}", "--problems.source", "{other}/bad.jsonl"], "bad.jsonl:2: broken JSON"),
        (["run", "--out", "{new}", "--problems.source", "{other}/gone.jsonl"], "cannot read problems from"),
        (["run", "--out", "{new}", "--workers", "0"], "--workers must be at least 1"),
        (["run", "nowhere.toml"], 'no recipe "nowhere.toml"'),
    ],
)
def test_bad_input_is_one_line_and_status_two(finished, tmp_path, capfd, command, message):
    other, new = tmp_path / "other", tmp_path / "new"
    other.mkdir()
    (other / "bad.jsonl").write_text('{"question": "a", "answer": 1}\n{"question":\n')
    words = [word.format(run=finished, other=other, new=new) for word in command]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("scdpo: ")
    assert error.count("\n") == 1
    assert not new.exists(), "nothing half-written"


def test_stages_need_the_ones_before(tmp_path, small_options, capsys):
    folder = str(tmp_path / "early")
    main(["sft", folder, *small_options, "--problems.sft", "20", "--sft.epochs", "1"])
    for stage, missing in (("fork", "scdpo sample"), ("train", "scdpo fork"), ("evaluate", "scdpo train")):
        assert main([stage, folder]) == 2
        assert f"run: {missing} {folder}" in capsys.readouterr().err


def test_one_command_at_a_time(finished, capsys):
    with RunDirectory.open(finished).locked():
        assert main(["report", str(finished)]) == 2
    assert "another scdpo command is at work" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_no_room_on_the_disk(tmp_path, small_options, capsys):
    """On a full file system: one line with the cure, status 2; with room again, the same command goes on. No studies."""
    options = [*small_options, "--run.arms", '["scdpo"]', "--credit.problems", "0", "--temperature.problems", "0"]
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounts")
    try:
        command = ["run", "--out", str(mount / "run"), "--workers", "1", *options]
        assert main(command) == 2
        assert "no room left on the disk" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=100m", str(mount)], check=True)
        assert main(command) == 0
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_help_answers_without_torch():
    """`scdpo --help` and `import scdpo` load neither torch nor transformers."""
    code = (
        "import sys\nfrom scdpo.cli.main import main\ntry: main(['--help'])\n"
        "except SystemExit: assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
