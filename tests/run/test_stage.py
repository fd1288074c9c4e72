"""Stages as records: what is owed, lacking and stale follows from what an output says that it is made from.

The fields that a stage names are compared with those that its tasks read; a ninth stage is a file and a line.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scdpo
from scdpo.cli.main import main
from scdpo.run.directory import Draw, RunDirectory
from scdpo.run.draws import drawn
from scdpo.run.fingerprint import MadeFrom, changes_nothing
from scdpo.run.recipe import described_fields
from scdpo.run.stage import all_turns, stale
from scdpo.run.stages import STAGES
from scdpo.run.stages.credit import log_probs
from scdpo.run.stages.fork import forked_trees
from scdpo.run.stages.sample import naive_samples
from scdpo.run.stages.sft import sft_model
from scdpo.run.stages.train import trained

MADE_BY = {
    "train_sft_model": lambda current, model: sft_model(current),
    "sampled": lambda current, model: naive_samples(current),
    "forked": lambda current, model: forked_trees(current),
    "add_reference": lambda current, model: trained(current, "scdpo"),
    "train_arm": trained,
    "solved": lambda current, model: drawn("evaluate", current, Draw("sft")),
    "scored": lambda current, model: log_probs(current, "sft"),
}
"""What the tasks make, by their functions."""
NOT_IN_IT = {
    "problems.source",  # the facts of a model's card; what is made from the problems knows their files
    "run.arms",  # which models there are
    "run.reference",  # which model the reference is, which is an input
    "model.trust_remote_code",  # in all models' folders, which are inputs
    "sampling.block",  # how trees and samples are read
    "evaluation.block",
    "evaluation.split",
    "credit.problems",  # how many lines a file is asked for
    "temperature.problems",
    "temperature.models",
    "temperature.temperatures",
}
"""Fields that tasks read and that are not in what they make, or only as what it is made from."""
IN_NO_OUTPUT = {
    "problems",  # of the run's problems, whose files' bytes are what the stages' outputs are made from
    "sampling.trees",
    "credit",  # which draws and log-probs there are
    "temperature",
    "run.arms",
    "run.rounds",
    "run.preset",  # a name
    "fork.further_samples",  # of a round, 0 where no arm uses them
    "run.reference",  # of later rounds
}
"""Sections and fields that decide which outputs there are."""


def every_output(run):
    return {output.path: output for stage, current in all_turns(run, STAGES) for output in stage.outputs(current)}


def test_what_a_task_reads_is_what_its_output_says(observed):
    """The fields beside each output are those that its making read: none is forgotten, so that nothing stale passes for new."""
    folder, reads = observed
    run = RunDirectory.open(folder)
    assert {name for name, _ in reads} == MADE_BY.keys()
    for (name, model), fields in reads.items():
        known = MADE_BY[name](run.round(1), model).fields
        forgotten = [
            paths
            for paths in fields
            if not any(path in NOT_IN_IT or changes_nothing(path) for path in paths)
            and not any(f"{field}.".startswith(f"{path}.") for field in known for path in paths)
        ]
        assert not forgotten, f"{name} reads {forgotten}"


def changed(run, field):
    """The run with another value of a field, in what its outputs know of it."""
    other = RunDirectory(run.path, run.recipe)
    other._contents = run._contents
    other.__dict__["fields"] = run.fields | {field: "another value"}
    return other


def test_fields_that_change_nothing_are_in_no_fingerprint(finished):
    run = RunDirectory.open(finished)
    free = {field for field in run.fields if changes_nothing(field)}
    named = (
        *("sft.threads", "engine.threads", "engine.rows", "training.tokens_per_micro_batch", "training.logits_per_chunk"),
        *("training.activation_checkpointing", "training.checkpoint_every", "training.report_to", "ray.address"),
        *("engine.server.addresses", "sandbox.sessions"),
    )
    assert free >= set(named)
    before = {path: output.digest for path, output in every_output(run).items()}
    for field in free:
        assert {path: output.digest for path, output in every_output(changed(run, field)).items()} == before, field


def test_every_other_field_changes_what_is_made_from_it(finished):
    """And nothing before it: training.beta leaves samples, trees and rft as they are."""
    run = RunDirectory.open(finished)
    before = {path: output.digest for path, output in every_output(run).items()}
    for field in run.fields:
        if changes_nothing(field) or field in IN_NO_OUTPUT or field.partition(".")[0] in IN_NO_OUTPUT:
            continue
        after = {path: output.digest for path, output in every_output(changed(run, field)).items()}
        assert after != before, f"{field} is in nothing"
        if field.startswith("training."):
            same = {path.relative_to(finished).as_posix() for path in before if after[path] == before[path]}
            assert {"models/sft", "samples.jsonl", "trees.jsonl", "models/rft", "answers/rft.jsonl"} <= same
            assert not same & {"models/scdpo", "models/dpo", "answers/scdpo.jsonl", "credit/log_probs/dpo.jsonl"}


def test_every_field_is_known_to_the_fingerprints():
    """No pattern of a field that changes nothing is left of a field that is gone."""
    from scdpo.run.fingerprint import CHANGE_NOTHING

    fields = {field.path for field in described_fields()}
    for pattern in CHANGE_NOTHING:
        named = re.compile(pattern.replace(".", r"\.").replace("*", ".*"))
        assert any(named.fullmatch(field) for field in fields), pattern


def test_notes_beside_all_outputs_of_a_finished_run(finished):
    run = RunDirectory.open(finished)
    for output in every_output(run).values():
        if not output.anew:
            assert MadeFrom.read(output.note) == output.made_from
    assert not list(stale(all_turns(run, STAGES)))


NINTH = '''
"""Words: how long the greedy answers of the SFT model are."""

from scdpo.run.stage import Output, Stage


def words(current):
    from scdpo.run.draws import Draw, drawn
    from scdpo.run.records import BlockRecords

    answers = drawn("evaluate", current, Draw("sft"))
    path, count = current.path / "words.jsonl", answers.records.count
    records = BlockRecords(path, answers.records.names, count, 7)
    return Output("words", path, "word counts", {"run.seed": current.run.recipe.run.seed}, (answers,), records)


def count(worker, number, lines, report):
    report(len(lines), len(lines))
    return [{"problem": line["problem"], "words": len(str(line).split())} for line in lines]


def make(tools, current, owed):
    from scdpo.run.making import run_blocks
    from scdpo.run.records import in_blocks

    tasks = lambda _, first: ((current.number, block) for block in in_blocks(current.answers("sft"), 7, first))
    run_blocks(tools, "words", "answers", {"words": owed[0]}, count, tasks)
    return f"{owed[0].records.count} answers counted"


WORDS = Stage("words", "how long answers are", outputs=lambda current: [words(current)], make=make, in_blocks=True)
'''


@pytest.fixture(scope="module")
def with_ninth(tmp_path_factory):
    """A copy of the package in which a ninth stage is a file and a line; gives (status, output) of a command."""
    copy = tmp_path_factory.mktemp("package") / "scdpo"
    shutil.copytree(Path(scdpo.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "run" / "stages" / "words.py").write_text(NINTH, encoding="utf-8")
    listing = copy / "run" / "stages" / "__init__.py"
    text = listing.read_text(encoding="utf-8")
    line = "from scdpo.run.stages.words import WORDS; "
    assert text.count("REPORT)\n") == 1
    listing.write_text(text.replace("STAGES: ", f"{line}STAGES: ").replace("REPORT)\n", "WORDS, REPORT)\n"), encoding="utf-8")

    def call(*commands):
        """The statuses of commands that follow each other in one process, and what they print."""
        code = f"from scdpo.cli.main import main\nprint([main(words) for words in {[list(map(str, c)) for c in commands]}])"
        environment = os.environ | {"PYTHONPATH": str(copy.parent), "COLUMNS": "200"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        *said, statuses = done.stdout.splitlines()
        return ast.literal_eval(statuses), "\n".join(said) + done.stderr

    return call


def test_a_ninth_stage_is_a_file_and_a_line(finished, tmp_path, with_ninth):
    """It has a command with its help, is owed, lacks, is made in whole blocks, is stale, is timed; run and status know it."""
    folder = shutil.copytree(finished, tmp_path / "run")
    answers = (folder / "answers" / "sft.jsonl").rename(tmp_path / "kept")
    statuses, text = with_ninth(["status", folder], ["words", folder])
    assert statuses == [0, 2] and re.search(r"words +owed", text)
    assert "not all answers of sft yet; run: scdpo evaluate" in text
    answers.rename(folder / "answers" / "sft.jsonl")

    statuses, text = with_ninth(["words", folder, "--workers", "1"], ["run", "--out", folder], ["status", folder])
    assert statuses == [0, 0, 0] and "60 answers counted" in text and "words: 0 s; already there" in text
    assert re.search(r"words +done", text)
    assert (folder / "words.jsonl").read_bytes().count(b"\n") == 60
    assert "words" in RunDirectory.open(folder).manifest()["stage_seconds"]

    note = (folder / "words.from.json").read_text()
    (folder / "words.from.json").write_text(note.replace('"run.seed": ', '"run.seed": 1'))
    statuses, text = with_ninth(["words", folder])
    assert statuses == [2] and "was made otherwise: words (run.seed: " in text


def test_the_order_of_the_stages_is_that_of_their_inputs(finished):
    """What a stage reads is made by one before it."""
    made = set()
    for stage, current in all_turns(RunDirectory.open(finished), STAGES):
        outputs = stage.outputs(current)
        for output in outputs:
            assert all(each.path in made or each.content is not None or each.stage == stage.name for each in output.inputs)
        made |= {output.path for output in outputs}


def test_status_says_what_is_done_owed_begun_and_stale(finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "models" / "scdpo")
    lines = (folder / "answers" / "dpo.jsonl").read_text().splitlines(keepends=True)
    (folder / "answers" / "dpo.jsonl").write_text("".join(lines[:20]))
    (folder / "report.html").unlink()
    assert main(["status", str(folder)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"sample +done .*correct.*wrong", text), "what the samples hold"
    assert re.search(r"fork +done .*pairs", text)
    assert re.search(r"train +begun +model scdpo owed", text)
    assert re.search(r"evaluate +begun +20 of 60 answers of dpo", text)
    assert "goes on with train" in text
    recipe = folder / "recipe.toml"
    recipe.write_text(re.sub(r"(?m)^beta = .*$", "beta = 0.5", recipe.read_text()))
    assert main(["status", str(folder)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"train +stale +training.beta: 1.0 there, 0.5 now", text)
    assert re.search(r"fork +done", text)
    assert "--remake" in text
