"""A recipe in numbers: counts, operations, memory, what fits; and the measured peak of a training against the plan's."""

import json
import random
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

from scdpo.cli.main import main
from scdpo.planning.accelerators import accelerator
from scdpo.planning.fitting import fleet, gpu_memory, remedies
from scdpo.planning.flops import Efficiency, forward_flops, training_flops
from scdpo.planning.lengths import Lengths, lengths_of
from scdpo.planning.memory import MIB, Load, training_memory
from scdpo.planning.shape import shape_of
from scdpo.planning.shown import remedy_text
from scdpo.planning.stages import Known, make_plan
from scdpo.planning.workload import Chances, Given, yields
from scdpo.run.recipe import build_recipe, load_recipe
from scdpo.training.known_configs import CONFIGS
from scdpo.training.settings import LoraSettings, OptimizerSettings

SMALL = shape_of(
    {"model_type": "llama", "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
     "vocab_size": 10, "tie_word_embeddings": True}
)  # fmt: skip
MISTRAL = shape_of(CONFIGS["mistralai/Mistral-7B-v0.1"])
LENGTHS = Lengths(85, 130, 5, 473, "made up")


def planned(recipe=None, shape=MISTRAL, cores=2):
    facts = Known(shape, "made up", LENGTHS, Chances(), cores)
    made = build_recipe({"model": {"path": "mistralai/Mistral-7B-v0.1"}, **(recipe or {})}, "made", {})
    return make_plan(made, facts), facts


def test_operations_by_hand():
    """Two layers of 4 x 4 x 4 + 3 x 4 x 8 = 160 weights: 2 x 320 a token; attention 4 x 2 x 4 x 6 / 2 = 96; logits 2 x 40."""
    assert forward_flops(SMALL, 6) == 640 + 96 + 80
    assert training_flops(SMALL, OptimizerSettings(), 6, 1.0) == 3 * 816
    assert training_flops(SMALL, OptimizerSettings(activation_checkpointing=True), 6, 1.0) == 4 * 816
    lora = OptimizerSettings(lora=LoraSettings(rank=1))
    assert training_flops(SMALL, lora, 6, 1.0) == 2 * 816 + 6 * 2 * (4 * 8 + 3 * 12)


def test_states_by_hand_and_sharded():
    """AdamW in float32: 4 bytes of weights, 4 of gradients and 8 of moments a parameter, divided by the processes."""
    load = Load(100, 50, 0.5, False)
    alone, shared = (training_memory(MISTRAL, OptimizerSettings(), load, count, gpu=True) for count in (1, 8))
    assert (alone.weights, alone.gradients, alone.states) == tuple(k * MISTRAL.parameters for k in (4, 4, 8))
    assert (shared.weights, shared.gradients, shared.states) == tuple(k * MISTRAL.parameters / 8 for k in (4, 4, 8))
    assert shared.activations == alone.activations


def test_frozen_weights_are_held_rounded():
    """LoRA in bfloat16: 2 bytes for what layers multiply by (Mistral's output layer too), 4 for the embedding and norms, no
    copies; the check before it has all in float32, and what that takes beyond the training counts. Elsewhere as ever."""
    lora = LoraSettings(rank=16)
    load = Load(100, 50, 0.5, False)
    rounded, plain, whole, sharded = (
        training_memory(MISTRAL, OptimizerSettings(lora=used, precision=precision), load, processes, gpu=True)
        for used, precision, processes in (
            (lora, "bfloat16", 1), (lora, "float32", 1), (LoraSettings(), "bfloat16", 1), (lora, "bfloat16", 8),
        )
    )  # fmt: skip
    products, adapters = MISTRAL.layer_products + MISTRAL.embedding, MISTRAL.adapters(16, lora.targets)
    assert plain.weights == 4 * (MISTRAL.parameters + adapters)
    assert rounded.weights == plain.weights - 2 * products
    assert (rounded.casts, whole.casts) == (0, 2 * MISTRAL.layer_products)
    assert rounded.total > plain.weights > rounded.total - rounded.checking
    assert (whole.weights, whole.checking) == (4 * MISTRAL.parameters, 0)
    assert (sharded.weights, sharded.checking) == (plain.weights / 8, 0)


def test_counts_are_those_of_sampling():
    """The closed forms against as many problems drawn at random: naive sampling until both or K, forking until wrong."""
    draw, chances, most, attempts = random.Random(1), Chances(0.6, 2.0), 6, 8
    problems = 20_000
    samples = trees = continued = branches = 0
    for _ in range(problems):
        p = draw.betavariate(1.2, 0.8)
        answers = []
        while len(answers) < most and len(set(answers)) < 2:
            answers.append(draw.random() < p)
        samples += len(answers)
        if len(set(answers)) == 2:
            trees += 1
            for _ in range(attempts):
                continued += 1
                if draw.random() >= p:
                    branches += 1
                    break
    each = yields(chances, most, 1, attempts, 40)
    found = [count / problems for count in (samples, trees, continued, branches)]
    assert found == pytest.approx([each.samples, each.trees, each.continuations, each.branches], rel=0.03)


def test_trees_hold_fewer_tokens_than_rows():
    """A naive pair as a tree: question, trunk and wrong solution; as rows the question twice."""
    plan, _ = planned({"fork": {"attempts": 1}})
    work = plan.work
    assert work.arm_tokens("dpo", "tree") == pytest.approx(work.trees * (85 + 2 * 130))
    assert work.arm_tokens("dpo", "pairs") == pytest.approx(work.trees * 2 * (85 + 130))
    assert work.tree_tokens < work.row_tokens


@pytest.mark.parametrize(
    ("fields", "less"),
    [
        ({"tokens_per_micro_batch": 1024}, True),
        ({"activation_checkpointing": True}, True),
        ({"lora": {"rank": 16}}, True),
        ({"lora": {"rank": 16, "quantize": "nf4"}}, True),
        ({"tokens_per_micro_batch": 16384}, False),
    ],
)
def test_fields_move_the_memory(fields, less):
    before = planned({"training": {"tokens_per_micro_batch": 4096}})[0].stage("scdpo").memory.total
    after = planned({"training": {"tokens_per_micro_batch": 4096, **fields}})[0].stage("scdpo").memory.total
    assert (after < before) is less


def test_more_accelerators_of_less_memory():
    """A 7B model needs 16 bytes a parameter in training, 108 GiB: two of 80 GiB; sampling in float32 never fits 24."""
    plan, _ = planned()
    big = fleet(plan, accelerator("a800 80gb"), None, Efficiency())
    assert big.count is not None and big.count >= 2
    assert gpu_memory(plan, plan.stage("scdpo"), big.count) <= big.accelerator.usable
    assert gpu_memory(plan, plan.stage("scdpo"), big.count // 2) > big.accelerator.usable
    assert fleet(plan, accelerator("RTX-4090"), None, Efficiency()).count is None


def test_no_process_of_several_has_the_whole_model():
    """InternLM2-20B's 74 GiB in float32: with reference log-probs and updates on the paper's 16 accelerators of 80 GB."""
    fields = {"precision": "bfloat16", "activation_checkpointing": True}
    engine = {"kind": "vllm", "precision": "bfloat16"}
    recipe = {"training": fields, "rft": fields, "engine": engine, "problems": {"sft": 0}}
    plan, _ = planned(recipe, shape_of(CONFIGS["internlm/internlm2-20b"]))
    alone, shared = (gpu_memory(plan, plan.stage("reference"), count) for count in (1, 16))
    assert alone > plan.shape.parameters * 4 > 4 * shared
    assert fleet(plan, accelerator("A800-80GB"), 16, Efficiency()).count == 16
    assert gpu_memory(plan, plan.stage("sample"), 1) < plan.shape.parameters * 2.2


def test_arms_that_are_not_trained_cost_nothing():
    plan, _ = planned({"run": {"arms": ["dpo", "scdpo"]}})
    assert {stage.name for stage in plan.stages} >= {"dpo", "scdpo"}
    assert not {stage.name for stage in plan.stages} & {"rft", "dpo-data-equal"}
    whole, _ = planned()
    assert plan.stage("fork").tokens < whole.stage("fork").tokens, "no further samples"
    assert plan.stage("evaluate").tokens == pytest.approx(whole.stage("evaluate").tokens * 3 / 5)


def test_given_trees_are_counted():
    """A file of trees: nothing is sampled, and its pairs are those that are trained on."""
    _, facts = planned()
    made = build_recipe({"sampling": {"trees": "trees.jsonl"}, "run": {"arms": ["dpo", "scdpo"]}}, "made", {})
    plan = make_plan(made, replace(facts, given=Given(40, 10, 90)))
    assert (plan.work.trees, plan.work.naive, plan.work.pairs) == (40, 10, 100)
    assert plan.work.arm_tokens("dpo", "tree") == 40 * plan.work.lengths.row + 10 * plan.work.lengths.solution
    assert not {stage.name for stage in plan.stages} & {"sample", "fork"}


def test_steps_of_code_are_those_of_a_run():
    """A solution with code has its blocks for steps, not its lines; the prompt is the recipe's own."""
    lengths = lengths_of(load_recipe("quickstart-code", {}))
    assert lengths.how.startswith("measured") and 3 < lengths.steps < 7


def test_each_training_has_a_context_of_its_own():
    wide, _ = planned({"training": {"tokens_per_micro_batch": 16}})
    narrow, _ = planned({"training": {"tokens_per_micro_batch": 16, "context": 200}})
    assert narrow.stage("scdpo").memory.activations < wide.stage("scdpo").memory.activations


def test_what_no_field_makes_fit_is_said():
    assert remedy_text([], []) == "Everything fits.\n"
    assert "makes these fit: scdpo" in remedy_text(["scdpo"], [])


def test_remedies_say_what_would_fit():
    """Each remedy's figure is that of the plan with its fields; those that fit are named as such."""
    plan, facts = planned()
    room = 40 * 2**30
    found = remedies(plan, facts, lambda other, stage: (stage.machine_memory, stage.machine_memory <= room))
    assert any(each.fits for each in found if each.stage == "scdpo")
    for each in found:
        changed = build_recipe(plan.recipe.model_dump(mode="json"), "tried", each.fields)
        assert make_plan(changed, facts).stage(each.stage).machine_memory == each.memory
        assert each.fits == (each.memory <= room)


def test_the_command(tmp_path, capsys):
    """A recipe of one's own with a field on the command line: text, and the same in numbers."""
    file, out = tmp_path / "own.toml", tmp_path / "plan.json"
    file.write_text('[problems]\nsource = "gsm8k"\n[model]\npath = "mistralai/Mistral-7B-v0.1"\n')
    assert main(["plan", str(file), "--accelerator", "H200", "--json", str(out), "--training.lora.rank", "16"]) == 0
    text, numbers = capsys.readouterr().out, json.loads(out.read_text())
    assert numbers["model"]["parameters"] == 7_241_732_096 and "7,241,732,096" in text
    assert numbers["stages"]["scdpo"]["memory"]["states"] == 8 * MISTRAL.adapters(16, ("all-linear",))
    assert main(["plan", str(file), "--accelerator", "H2000"]) == 2
    assert 'did you mean "H200"' in capsys.readouterr().err
    assert main(["plan", str(file), "--model.path", "nobody/nothing"]) == 2
    assert "hf download nobody/nothing config.json" in capsys.readouterr().err


MEASURE = """
import sys
from pathlib import Path
from scdpo.run.directory import RunDirectory
from scdpo.run.stages.sft import train_sft_model
from scdpo.run.worker import Worker
train_sft_model(Worker(RunDirectory.open(sys.argv[1])), report=lambda *event: None)
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak)  # ru_maxrss would be that of the process that began this one, where it was larger
"""


@pytest.mark.slow
def test_measured_peak_of_the_quickstart(tmp_path):
    """SFT of the quickstart's model, in a process of its own: the measured peak within 20% of the plan's."""
    from scdpo.planning.stages import known
    from scdpo.run.prepare import prepare

    run = prepare(tmp_path / "run", "quickstart", {"sft.epochs": "0.2", "problems.pairs": "10"})
    made = subprocess.run([sys.executable, "-c", MEASURE, str(run.path)], capture_output=True, text=True, check=True)
    measured = int(made.stdout.split()[-1]) / 1024
    recipe = build_recipe(tomllib.loads((run.path / "recipe.toml").read_text()), "run", {})
    plan = make_plan(recipe, known(recipe, Chances(), 2, run.path))
    assert plan.stage("sft").memory.total / MIB == pytest.approx(measured, rel=0.2)
