"""The sampling policies on a scripted engine: when they stop, what they keep, what they never use."""

from collections import Counter

import pytest

from scdpo.engines.scripted import ScriptedEngine
from scdpo.engines.temperature import TemperatureRamp
from scdpo.problems.problem import Problem
from scdpo.sampling.arms import arm_trees, count_pairs
from scdpo.sampling.driver import drive, run_all
from scdpo.sampling.policies import ProblemSamples, SamplingRules, choose_forks, naive_tree, sample_naive, until_wrong
from scdpo.sampling.settings import ForkSettings, SamplingSettings
from scdpo.sampling.stages import ForkedProblem, Solver, answer_block, fork_block, sample_block
from scdpo.seeds import derive_seed
from scdpo.solutions.solution import Solution

PAPER = TemperatureRamp(1.1, 0.05, 1.4)
RIGHT = "Ben: 12 + 5 = 17\nEva: 17 * 2 = 34\n#### 34"
WRONG = "Ben: 12 + 5 = 18\nEva: 18 * 2 = 36\n#### 36"
WRONG_TOO = "Ben: 12 + 5 = 16\nEva: 16 * 2 = 32\n#### 32"
NO_ANSWER = "Ben: 12 + 5 = 18"
GARBLED = "#### 1\n#### 2"


@pytest.fixture
def problem(story_problems):
    return Problem("p", story_problems[0].question, "34")


@pytest.fixture
def rules(story_codec):
    return SamplingRules(story_codec, seed=1, max_new_tokens=60, context=256, banned=("error", "apolog"))


def scripted(codec, texts):
    """An engine that answers with the given texts, one a request, each cut to what follows the request's kept ids."""
    answers = iter(texts)

    def script(request):
        ids = codec.tokenizer(next(answers), add_special_tokens=False)["input_ids"]
        kept = len(request.ids) - len(codec.prompt(script.question))
        return ids[kept:]

    return script


def engine_of(codec, problem, texts):
    script = scripted(codec, texts)
    script.question = problem.question
    return ScriptedEngine(script)


def samples_of(problem, rules, texts, limit=10, pairs=1) -> ProblemSamples:
    engine = engine_of(rules.codec, problem, texts)
    return run_all([sample_naive(problem, 1.0, limit, rules, pairs)], engine, 1)[0]


@pytest.mark.parametrize(
    ("texts", "limit", "drawn"),
    [
        ([RIGHT, WRONG, RIGHT], 10, 2),
        ([RIGHT, RIGHT, WRONG, RIGHT], 10, 3),
        ([WRONG, NO_ANSWER, GARBLED, RIGHT, RIGHT], 10, 4),
        ([RIGHT, NO_ANSWER, GARBLED, RIGHT], 4, 4),
    ],
)
def test_naive_sampling_stops_at_one_of_each_or_at_k(problem, rules, texts, limit, drawn):
    """Section 3.1; undecided solutions are kept in the record and count for neither side."""
    record = samples_of(problem, rules, texts, limit)
    assert [sample.text for sample in record.samples] == texts[:drawn]


def test_more_pairs_need_more_different_wrong_solutions(problem, rules):
    record = samples_of(problem, rules, [RIGHT, WRONG, WRONG, WRONG_TOO, RIGHT], pairs=2)
    assert [sample.text for sample in record.samples] == [RIGHT, WRONG, WRONG, WRONG_TOO]


def test_undecided_solutions_never_become_branches(problem, rules):
    assert naive_tree(problem, samples_of(problem, rules, [RIGHT, NO_ANSWER, GARBLED], limit=3), rules) is None
    tree = naive_tree(problem, samples_of(problem, rules, [GARBLED, RIGHT, NO_ANSWER, WRONG]), rules)
    assert (tree.trunk.text, tree.branches[0].text, tree.branches[0].fork) == (RIGHT, WRONG, 0)


def test_every_sample_has_its_own_seed_and_temperature_one(problem, rules):
    engine = engine_of(rules.codec, problem, [RIGHT] * 5)
    run_all([sample_naive(problem, 1.0, 5, rules)], engine, 1)
    assert [request.seed for request in engine.requests] == [derive_seed(1, "p", 0, attempt) for attempt in range(5)]
    assert {request.temperature.at(3) for request in engine.requests} == {1.0}


def trunk_of(rules) -> Solution:
    from scdpo.grading.grade import grade

    return Solution(rules.codec.read(RIGHT), grade(RIGHT, "34"))


def test_forking_continues_until_wrong(problem, rules):
    """Right and undecided continuations are counted by reason and not used; the branch keeps the trunk's ids."""
    engine = engine_of(rules.codec, problem, [RIGHT, f"{RIGHT.split(chr(10))[0]}\nEva", WRONG.replace("18", "17")])
    trunk = trunk_of(rules)
    (attempt, branch), *_ = run_all([until_wrong(problem, trunk, 1, PAPER, 10, rules)], engine, 1)
    assert (attempt.attempts, attempt.found) == (3, True)
    assert attempt.unused == {"correct": 1, "no final answer": 1}
    assert branch.fork == 1
    assert engine.requests[0].ids == (*rules.codec.prompt(problem.question), *trunk.steps[0].ids)
    assert engine.requests[0].temperature == PAPER
    assert branch.verdict.extracted == "36"


def test_forking_gives_up(problem, rules):
    engine = engine_of(rules.codec, problem, [RIGHT] * 4)
    (attempt, branch), *_ = run_all([until_wrong(problem, trunk_of(rules), 1, PAPER, 4, rules)], engine, 1)
    assert (attempt.attempts, attempt.found, branch) == (4, False, None)


def test_a_solution_cut_by_length_is_undecided(problem, story_codec):
    rules = SamplingRules(story_codec, seed=1, max_new_tokens=5, context=256)
    record = samples_of(problem, rules, [WRONG], limit=1)
    assert record.samples[0].verdict.outcome == "undecided"
    assert record.samples[0].verdict.reason == "ran out of tokens"


def test_forks_are_uniform_over_the_allowed_steps(rules):
    """10,000 draws over forks 1..5 (7 steps, the last an answer): each 2,000 times within 5 standard deviations of 40."""
    lines = [f"Ben: 1 + {n} = {n + 1}\n" for n in range(6)]
    trunk = Solution(rules.codec.read("".join(lines) + "#### 6"), trunk_of(rules).verdict)
    draws = Counter(choose_forks(trunk, f"p{n}", "uniform", 1, seed=0)[0] for n in range(10_000))
    assert sorted(draws) == [1, 2, 3, 4, 5]
    assert all(abs(count - 2000) < 200 for count in draws.values())
    assert choose_forks(trunk, "p", "every", 1, seed=0) == (1, 2, 3, 4, 5)
    assert len(set(choose_forks(trunk, "p", "uniform", 3, seed=0))) == 3


def test_a_problem_that_the_tokenizer_cannot_spell_is_data(rules):
    strange = Problem("z", "How many zebras?", "1")
    record = run_all([sample_naive(strange, 1.0, 5, rules)], ScriptedEngine(lambda request: ()), 1)[0]
    assert record.samples == ()
    assert "does not know" in record.skipped
    (answer,) = answer_block([strange], Solver(ScriptedEngine(lambda request: ()), rules, 1))
    assert answer.verdict.outcome == "undecided"


@pytest.mark.parametrize("in_flight", [1, 2, 7, 50])
def test_in_flight_changes_nothing(problem, rules, in_flight):
    """Results come in the rollouts' order whatever runs beside them."""
    engine = ScriptedEngine(lambda request: (7, request.seed % 50))
    rollouts = (sample_naive(Problem(f"p{n}", problem.question, "1"), 1.0, 1 + n % 3, rules) for n in range(20))
    records = run_all(rollouts, engine, in_flight)
    assert [record.problem for record in records] == [f"p{n}" for n in range(20)]
    assert [len(record.samples) for record in records] == [1 + n % 3 for n in range(20)]


def test_the_driver_keeps_at_most_so_many_in_flight(problem, rules):
    engine = ScriptedEngine(lambda request: ())
    rollouts = [sample_naive(Problem(f"p{n}", problem.question, "1"), 1.0, 2, rules) for n in range(9)]
    waiting = []
    advance = engine.advance
    engine.advance = lambda: (waiting.append(len(engine.waiting)), advance())[1]
    assert len(list(drive(rollouts, engine, 4))) == 9
    assert waiting == [4, 4, 4, 4, 1, 1]


def test_arms_have_their_pairs(problem, rules):
    """dpo: naive only; scdpo: both; dpo-data-equal: as many as scdpo, all naive, from further samples."""
    texts = [RIGHT, WRONG]
    (samples,) = sample_block([problem], Solver(engine_of(rules.codec, problem, texts), rules, 1), SamplingSettings())
    texts = [WRONG.replace("18", "17"), WRONG, WRONG_TOO]
    engine = engine_of(rules.codec, problem, texts)
    settings = ForkSettings(choice="every")
    (forked,) = fork_block([problem], [samples], Solver(engine, rules, 1), SamplingSettings(), settings)
    assert [sample.text for sample in forked.further] == [WRONG, WRONG_TOO]
    counts = {arm: count_pairs(arm_trees(arm, [forked], [samples])) for arm in ("dpo", "dpo-data-equal", "scdpo")}
    assert counts["dpo"] == {"naive": 1, "step_controlled": 0, "total": 1}
    assert counts["scdpo"] == {"naive": 1, "step_controlled": 1, "total": 2}
    assert counts["dpo-data-equal"] == {"naive": 2, "step_controlled": 0, "total": 2}
    assert ForkedProblem.from_json(forked.to_json()) == forked


def test_missing_equal_pairs_come_from_other_problems(problem, rules):
    """A problem without enough wrong solutions is made up for by another one's spare ones."""
    trunk = trunk_of(rules)
    first = samples_of(problem, rules, [RIGHT, WRONG])
    tree = naive_tree(problem, first, rules)
    rich = ProblemSamples("q", (*first.samples, samples_of(problem, rules, [WRONG_TOO], limit=1).samples[0]))
    poor = ForkedProblem("p", tree.only([tree.branches[0], tree.branches[0]]))
    other = ForkedProblem("q", naive_tree(Problem("q", problem.question, problem.answer), rich, rules))
    trees = arm_trees("dpo-data-equal", [poor, other], [first, rich])
    assert [len(found.branches) for found in trees] == [1, 2]
    assert trunk.text == trees[0].trunk.text


def test_seeds_differ_by_purpose():
    seeds = {
        derive_seed(run, problem, fork, attempt) for run in (0, 1) for problem in "ab" for fork in (0, 1) for attempt in (0, 1)
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert derive_seed(0, "a", 11) != derive_seed(0, "a", 1, 1)
