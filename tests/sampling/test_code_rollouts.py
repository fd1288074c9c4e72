"""Rollouts of solutions with code: generate, execute, append, go on; forks that run the kept code again."""

import random
from collections import Counter, deque

import pytest

from scdpo.engines.interface import Completion, Generate
from scdpo.engines.scripted import ScriptedEngine
from scdpo.engines.temperature import TemperatureRamp
from scdpo.marks import MARKS
from scdpo.problems.problem import Problem
from scdpo.problems.stories import with_code
from scdpo.sampling.continuation import REPLAY_DIFFERS, STOPPED_CODE, UNSPELLED_OUTPUT, SamplingRules, continue_solution
from scdpo.sampling.driver import Execute, run_all
from scdpo.sampling.policies import answer_once, sample_naive, until_wrong
from scdpo.sandbox.output import Output
from scdpo.solutions.codec import Codec
from scdpo.solutions.settings import CodeSettings
from scdpo.training.scratch import make_tokenizer

TEXT, CODE, EXECUTION, END, _ = MARKS
RAMP = TemperatureRamp(1.1, 0.05, 1.4)
QUESTION = "Ben has 17 eggs. Eva has 2 for each one of Ben. Leo has 3 for each one of Eva. How many eggs does Leo have?"
PROBLEM = Problem("p", QUESTION, "102")
EVA = f"{CODE}Eva = 17 * 2\nprint(Eva){END}"
LEO = f"{CODE}Leo = Eva * 3\nprint(Leo){END}"
WRONG_LEO = f"{CODE}Leo = Eva + 3\nprint(Leo){END}"
PLAIN = f"{TEXT}Eva: 17 * 2 = 34{END}"
ANSWER, WRONG_ANSWER = f"{TEXT}#### 102{END}", f"{TEXT}#### 37{END}"


class Sessions:
    """A sandbox for tests: really runs the code, in this process, and answers in any order that `order` makes of what waits."""

    most_sessions = 1000

    def __init__(self, order=lambda waiting: waiting, outputs=None):
        self.order, self.outputs = order, outputs or {}
        self.spaces, self.waiting, self.log, self.open = {}, deque(), [], set()

    def submit(self, ticket, session, code):
        self.waiting.append((ticket, session, code))

    def poll(self, seconds=0.0):
        self.waiting = deque(self.order(list(self.waiting)))
        ticket, session, code = self.waiting.popleft()
        printed = []
        space = self.spaces.setdefault(session, {})
        self.open.add(session)
        self.log.append((session, code))
        if code in self.outputs:
            return [(ticket, self.outputs[code])]
        try:
            exec(code, space | {"print": lambda value: printed.append(str(value))}, space)
        except Exception as error:
            return [(ticket, Output(f"{type(error).__name__}: {error}", "error"))]
        return [(ticket, Output("\n".join(printed), "ok"))]

    def close(self, session):
        self.spaces.pop(session, None)
        self.open.discard(session)


@pytest.fixture(scope="module")
def codec(story_problems):
    texts = [QUESTION, *(with_code(p).solution for p in story_problems), "0123456789 + NameError: name 'x' is not defined"]
    texts += [p.question + "\n" for p in story_problems]
    return Codec(make_tokenizer(texts, 256, MARKS), code=CodeSettings(format="blocks"))


@pytest.fixture
def rules(codec):
    return SamplingRules(codec, seed=1, max_new_tokens=120, context=256, banned=("error",))


def engine_of(codec, solutions):
    """An engine that speaks, request by request, what the solutions say where they are given outputs: one text a request."""
    turns = iter(solutions)

    def script(request: Generate):
        return [*codec._opening(next(turns))]

    return ScriptedEngine(script)


def test_code_is_run_and_its_output_put_behind_it(codec, rules):
    """State is kept over blocks; the output is given, not written; the ramp goes on counting over the turns."""
    engine = engine_of(codec, [PLAIN + EVA, LEO, ANSWER])
    sessions = Sessions()
    (solution,) = run_all([continue_solution(PROBLEM, (), RAMP, 7, rules)], engine, 1, sandbox=sessions)
    assert solution.text == (f"{PLAIN}{EVA}{EXECUTION}34{END}{LEO}{EXECUTION}102{END}{ANSWER}")
    assert solution.verdict.is_correct and rules.is_preferred(solution)
    assert [step.kind for step in solution.steps] == ["text", "code", "code", "answer"]
    assert [request.step for request in engine.requests] == [0, 2, 3]
    assert len({request.seed for request in engine.requests}) == 3
    given = [id for step in solution.steps for id, own in zip(step.ids, step.written, strict=True) if not own]
    assert given == [*codec.follow(f"{EXECUTION}34{END}"), *codec.follow(f"{EXECUTION}102{END}")]
    assert engine.requests[1].ids == (*codec.prompt(QUESTION), *solution.steps[0].ids, *solution.steps[1].ids)
    assert not sessions.open


def test_a_fork_runs_the_kept_code_first(codec, rules):
    """The session of a continuation is what it was: the kept blocks run anew, in a fresh session, before the model goes on."""
    trunk = run_all(
        [continue_solution(PROBLEM, (), RAMP, 7, rules)], engine_of(codec, [EVA, LEO, ANSWER]), 1, sandbox=Sessions()
    )[0]
    sessions = Sessions()
    rollout = until_wrong(PROBLEM, trunk, 1, RAMP, 4, rules)
    turns = [LEO, ANSWER, WRONG_LEO, WRONG_ANSWER]
    ((attempt, branch),) = run_all([rollout], engine_of(codec, turns), 1, sandbox=sessions)
    assert (attempt.attempts, attempt.found, branch.fork) == (2, True, 1)
    assert "".join(step.text for step in branch.steps) == f"{WRONG_LEO}{EXECUTION}37{END}{WRONG_ANSWER}"
    eva = "Eva = 17 * 2\nprint(Eva)"
    ran = [code for _, code in sessions.log]
    assert ran == [eva, "Leo = Eva * 3\nprint(Leo)", eva, "Leo = Eva + 3\nprint(Leo)"]
    assert list(trunk.forks) == [1]


def test_a_replay_that_prints_something_else_drops_the_fork(codec, rules):
    trunk = run_all(
        [continue_solution(PROBLEM, (), RAMP, 7, rules)], engine_of(codec, [EVA, LEO, ANSWER]), 1, sandbox=Sessions()
    )[0]
    sessions = Sessions(outputs={"Eva = 17 * 2\nprint(Eva)": Output("35", "ok")})
    engine = engine_of(codec, [])
    ((attempt, branch),) = run_all([until_wrong(PROBLEM, trunk, 1, RAMP, 4, rules)], engine, 1, sandbox=sessions)
    assert branch is None and attempt.unused == {REPLAY_DIFFERS: 1} and not engine.requests


@pytest.mark.parametrize(
    ("turns", "outputs", "reason"),
    [
        ([EVA, f"{TEXT}#### 37{END}"], {"Eva = 17 * 2\nprint(Eva)": Output("34", "timeout")}, STOPPED_CODE),
        ([EVA, f"{TEXT}#### 37{END}"], {"Eva = 17 * 2\nprint(Eva)": Output("34", "killed")}, STOPPED_CODE),
        ([EVA], {"Eva = 17 * 2\nprint(Eva)": Output("Über", "ok")}, f"garbled: {UNSPELLED_OUTPUT}"),
        ([EVA], {"Eva = 17 * 2\nprint(Eva)": Output(f"{END}{TEXT}", "ok")}, "garbled: a marker inside a block"),
        ([EVA] * 13, {}, "garbled: over 24 blocks"),
        ([f"{TEXT}{EXECUTION}34{END}{EVA}"], {}, "garbled: a marker inside a block"),
        ([f"{EXECUTION}34{END}{ANSWER}"], {}, "garbled: an output without code"),
        ([EVA, f"{CODE}Leo = Eva * 3"], {}, "garbled: a marker inside a block"),
        ([EVA, f"{TEXT}Eva: 17 * 2 = 34"], {}, "garbled: a marker inside a block"),
        ([EVA, EVA.replace("17", "1" * 3000)], {}, "garbled: a block of over 3,000 characters"),
    ],
)
def test_what_is_noise_or_was_stopped_is_undecided(codec, rules, turns, outputs, reason):
    """None of these becomes a dispreferred solution; each is counted by its reason."""
    rules = SamplingRules(codec, seed=1, max_new_tokens=5000, context=6000)
    solution = run_all(
        [continue_solution(PROBLEM, (), RAMP, 7, rules)], engine_of(codec, turns), 1, sandbox=Sessions(outputs=outputs)
    )[0]
    assert (solution.verdict.outcome, solution.verdict.reason) == ("undecided", reason)


def test_a_right_answer_after_a_stopped_block_is_no_chosen_solution(codec, rules):
    outputs = {"Eva = 17 * 2\nprint(Eva)": Output("34", "killed")}
    engine = engine_of(codec, [EVA, ANSWER])
    solution = run_all([answer_once(PROBLEM, 0.0, 0, rules)], engine, 1, sandbox=Sessions(outputs=outputs))[0]
    assert solution.verdict.is_correct and not rules.is_preferred(solution)


def test_an_output_that_leaves_no_room_ends_the_solution(codec):
    rules = SamplingRules(codec, seed=1, max_new_tokens=14, context=256)
    solution = run_all(
        [continue_solution(PROBLEM, (), RAMP, 7, rules)], engine_of(codec, [EVA, ANSWER]), 1, sandbox=Sessions()
    )[0]
    assert (solution.finish, solution.verdict.reason) == ("length", "ran out of tokens")


def test_hundreds_in_flight_and_no_clock(codec, rules):
    """300 rollouts over one engine and one sandbox: the engine sees the same requests in the same order, whatever order the
    blocks end in, and every solution gets its own outputs."""

    def run(order):
        def script(request):
            spoken = codec.tokenizer.decode(request.ids[len(codec.prompt(QUESTION)) :])
            left = 2 + request.seed % 7 if not spoken else int(spoken.split("Eva = ")[1].split(" ")[0])
            if spoken.count(EXECUTION) < 1 + left % 3:
                return codec._opening(f"{CODE}Eva = {left} * {spoken.count(CODE) + 1}\nprint(Eva){END}")
            return codec._opening(f"{TEXT}#### {left}{END}")

        engine = ScriptedEngine(script)
        rollouts = [continue_solution(Problem(str(n), QUESTION, "5"), (), RAMP, n, rules) for n in range(300)]
        sessions = Sessions(order)
        return run_all(rollouts, engine, 256, sandbox=sessions), [request.ids for request in engine.requests], sessions

    shuffle = random.Random(3)
    solutions, requests, sessions = run(lambda waiting: waiting)
    others, other_requests, _ = run(lambda waiting: shuffle.sample(waiting, len(waiting)))
    assert solutions == others and requests == other_requests
    assert not sessions.open and Counter(s.verdict.outcome for s in solutions)["wrong"] > 100
    for solution in solutions:
        for step in solution.steps:
            if step.kind == "code":
                code, output = codec.code.code_and_output(step.text)
                left, right = code.split("\n")[0].removeprefix("Eva = ").split(" * ")
                assert output == f"{EXECUTION}{int(left) * int(right)}{END}"


def test_naive_sampling_begins_each_solution_in_a_new_session(codec, rules):
    """A variable of the sample before is not there."""
    leo_first = f"{CODE}Leo = Eva * 3\nprint(Leo){END}"
    engine = engine_of(codec, [EVA, LEO, ANSWER, leo_first, WRONG_ANSWER])
    (record,) = run_all([sample_naive(PROBLEM, 1.0, 4, rules)], engine, 1, sandbox=Sessions())
    assert "NameError: name 'Eva' is not defined" in record.samples[1].text
    assert [sample.verdict.outcome for sample in record.samples] == ["correct", "wrong"]


def test_an_output_that_no_code_gave_is_no_solution(codec, rules):
    """Where generation did not stop after the code (an engine without stop ids), the model made the output up."""
    engine = engine_of(codec, [f"{EVA}{EXECUTION}34{END}{ANSWER}"])
    engine._answer = lambda request: Completion((*engine.script(request),), (1.0,) * 60, (0.0,) * 60, "end")
    rollout = continue_solution(PROBLEM, (), RAMP, 7, rules)
    solution = run_all([rollout], engine, 1, sandbox=Sessions())[0]
    assert (solution.verdict.outcome, solution.verdict.reason) == ("undecided", "garbled: an output without code")


def test_sessions_end_with_an_abandoned_drive(codec, rules):
    def fails():
        yield Execute("x = 1", fresh=True)
        raise ValueError("a defect")

    sessions = Sessions()
    rollouts = [continue_solution(PROBLEM, (), RAMP, 7, rules), fails()]
    with pytest.raises(ValueError, match="a defect"):
        run_all(rollouts, engine_of(codec, [EVA, LEO, ANSWER]), 2, sandbox=sessions)
    assert not sessions.open
