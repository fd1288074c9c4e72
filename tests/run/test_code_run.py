"""A whole run whose solutions have code: the same guarantees as without, and what code adds to records, manifest and page."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from scdpo.cli.main import main
from scdpo.errors import RecipeError
from scdpo.grading.grade import is_preferred
from scdpo.run.directory import RunDirectory
from scdpo.run.recipe import load_recipe
from scdpo.solutions.code_format import FORMATS
from scdpo.training.model_files import load_tokenizer
from tests.report.conftest import block, unpacked
from tests.run.test_run import records, same_results


def test_the_model_computes_and_reads_the_output(coded):
    """Right answers with code in them: what was executed is what the sandbox printed, and it carries no mark of the model's."""
    run = RunDirectory.open(coded)
    samples = [sample for record in run.round(1).read_samples() for sample in record.samples]
    banned = run.recipe.sampling.banned
    computed = [s for s in samples if is_preferred(s, banned) and any(step.output for step in s.steps)]
    assert len(computed) > 5
    for sample in computed:
        for step in sample.steps:
            if step.output:
                code, given = FORMATS["blocks"].code_and_output(step.text)
                assert step.kind == "code" and step.output.status == "ok"
                left, right = code.split("\n")[0].split(" = ")[1].split(" + ")
                assert given == f"<|execution|>{int(left) + int(right)}<|endofblock|>"


def test_results_manifest_and_page(coded):
    results = json.loads((coded / "results.json").read_text())
    assert results["models"]["sft"]["accuracy"] > 0.3, "the tiny model learned its sums"
    assert results["pairs"]["scdpo"]["step_controlled"] > 0
    layers = json.loads((coded / "manifest.json").read_text())["sandbox_layers"]
    assert any(layer.startswith("seccomp") for layer in layers) and not any("MISSING" in layer for layer in layers)
    page = (coded / "report.html").read_text()
    trees = json.dumps(unpacked(block(page, "tree-bodies")))
    assert '"kind": "output"' in trees and "<|execution|>" not in trees


def test_saved_models_stop_where_their_solutions_end(coded):
    """Elsewhere too: the generation config names the mark that ends a solution with code."""
    tokenizer = load_tokenizer(coded / "models" / "scdpo")
    config = json.loads((coded / "models" / "scdpo" / "generation_config.json").read_text())
    assert tokenizer.convert_tokens_to_ids("<|endofmessage|>") in config["eos_token_id"]


def test_a_run_may_go_on_without_isolation(coded, tmp_path, coded_options):
    """The flag that the error names works on the run that it refused; the recipe says so from then on."""
    folder = tmp_path / "unsafe"
    shutil.copytree(coded, folder)
    assert main(["run", "--out", str(folder), "--workers", "1", "--unsafe-no-isolation", *coded_options]) == 0
    assert RunDirectory.open(folder).recipe.sandbox.unsafe_no_isolation
    assert main(["run", "--out", str(folder), "--workers", "1", *coded_options]) == 0


def test_step_controlled_pairs_keep_code_with_its_output(coded):
    """Forks after a computed step exist; the kept part ends after the output, and nothing given counts in the loss."""
    trees = [record.tree for record in RunDirectory.open(coded).round(1).read_trees() if record.tree]
    forks = [(tree, branch) for tree in trees for branch in tree.branches if branch.is_step_controlled]
    behind_code = [kept[-1] for tree, branch in forks if (kept := tree.kept(branch))[-1].kind == "code"]
    assert behind_code and all(step.text.rstrip().endswith("<|endofblock|>") and step.output for step in behind_code)


def test_workers_and_kill_nine_change_nothing(coded, coded_options, tmp_path):
    """Killed while it samples, then continued with two workers: the same bytes of records, the same results."""
    folder = tmp_path / "two"
    command = [sys.executable, "-m", "scdpo", "run", "--out", str(folder), "--workers", "2", *coded_options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (folder / "samples.jsonl").exists():
        time.sleep(0.05)
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert main(["run", "--out", str(folder), "--workers", "2", *coded_options]) == 0
    assert records(folder) == records(coded)
    assert same_results(folder, coded)


def test_no_session_outlives_a_killed_run(coded, coded_options, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(coded, folder)
    shutil.rmtree(folder / "answers")
    child = subprocess.Popen(
        [sys.executable, "-m", "scdpo", "evaluate", str(folder), "--workers", "1"], stdout=subprocess.DEVNULL
    )
    while not (found := servers_below(child.pid)):
        time.sleep(0.02)
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in found):  # noqa: PTH110
        assert time.monotonic() < deadline, "a sandbox is left"
        time.sleep(0.05)


def servers_below(pid: int) -> list[int]:
    """All processes below a process that belong to a sandbox."""
    try:
        children = [int(word) for word in open(f"/proc/{pid}/task/{pid}/children").read().split()]  # noqa: PTH123, SIM115
        command = open(f"/proc/{pid}/cmdline", "rb").read()  # noqa: PTH123, SIM115
    except OSError:
        return []
    own = [pid] if b"scdpo.sandbox.server" in command else []
    return own + [found for child in children for found in servers_below(child)]


def test_the_preset_fills_what_is_not_set(tmp_path):
    """The authors' scripts count outputs in the loss and fork everywhere; a field of one's own wins."""
    preset = load_recipe("quickstart-code", {"run.preset": "paper-scripts", "code.max_blocks": "30"})
    assert (preset.code.output_loss, preset.code.max_blocks, preset.code.max_block_characters) == (True, 30, 3000)
    assert (preset.fork.choice, preset.fork.ramp.increment, preset.code.format) == ("every", 0.1, "blocks")
    file = tmp_path / "resolved.toml"
    file.write_text(preset.to_toml())
    assert load_recipe(str(file)) == preset
    assert not load_recipe("quickstart-code").code.output_loss
    ramp = load_recipe("quickstart-code", {"run.preset": "paper-scripts", "fork.ramp.start": "1.0"}).fork.ramp
    assert (ramp.start, ramp.increment) == (1.0, 0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"code.format": "fences"}, "written in marked blocks"),
        ({"steps.format": "lines"}, "leave steps.format out"),
        ({"run.preset": "paper-script"}, "paper-scripts"),
    ],
)
def test_recipes_that_do_not_fit(fields, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("quickstart-code", fields)


def test_output_loss_reaches_the_rows(coded):
    """With code.output_loss the trunk's outputs count too: the rows of the same trees have more counted tokens."""
    from scdpo.run.worker import Worker
    from scdpo.training.train import rows_of

    run = RunDirectory.open(coded)
    trees = [record.tree for record in run.round(1).read_trees() if record.tree]
    worker = Worker(run)
    counted = []
    for counts in (False, True):
        worker.codec.counts_outputs = counts
        rows, _ = rows_of(trees, worker.codec, 96)
        counted.append(sum(len(row.trunk) for row in rows))
    given = sum(step.output.stop - step.output.start for tree in trees for step in tree.trunk.steps if step.output)
    assert given > 0 and counted[1] - counted[0] == given
