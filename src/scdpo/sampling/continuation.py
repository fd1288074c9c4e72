"""Continuing a solution to its end: the one rollout that all policies are made of, for chain of thought and for code.

With code, generation stops after each piece of it, the sandbox runs it, and its output is put after it before generation goes
on. A continuation of a solution that has code runs the kept code first, so that the session is in the state that it was in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scdpo.engines.interface import Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.errors import ModelError
from scdpo.grading.grade import grade, is_preferred
from scdpo.problems.problem import Problem
from scdpo.sampling.driver import Execute, Rollout
from scdpo.seeds import derive_seed
from scdpo.solutions.code_format import CodeFormat
from scdpo.solutions.codec import Codec, Given
from scdpo.solutions.settings import CodeSettings
from scdpo.solutions.solution import FinishReason, Solution, Step
from scdpo.solutions.verdict import Verdict

REPLAY_DIFFERS = "the kept code printed something else when it ran again"
UNSPELLED_QUESTION = "words in the question that the tokenizer does not know"
LONG_QUESTION = "a question too long for the context"
UNFIT = (UNSPELLED_QUESTION, LONG_QUESTION)
"""Why a problem cannot be put to the model at all."""
UNSPELLED_OUTPUT = "an output that the tokenizer cannot spell"
STOPPED_CODE = "code that was stopped by the clock or a limit"


class ReplayDiffers(Exception):
    """The kept code of a solution printed something else than it had: nothing can be continued from there."""


@dataclass(frozen=True, slots=True)
class SamplingRules:
    """What all rollouts of a run share.

    max_new_tokens: of a whole solution, kept steps and outputs included; context: tokens of a prompt with its solution; banned:
    words that keep a correct solution from being chosen; top_p: see Generate; code: of solutions with code, the limits beyond
    which they are noise.
    """

    codec: Codec
    seed: int
    max_new_tokens: int
    context: int
    banned: tuple[str, ...] = ()
    top_p: float = 1.0
    code: CodeSettings = field(default_factory=CodeSettings)

    def unfit(self, problem: Problem) -> str | None:
        """Why a problem cannot be put to the model at all, or None."""
        try:
            prompt = self.codec.prompt(problem.question)
        except ModelError:
            return UNSPELLED_QUESTION
        if len(prompt) + self.max_new_tokens > self.context:
            return LONG_QUESTION
        return None

    def is_preferred(self, solution: Solution) -> bool:
        return is_preferred(solution, self.banned)

    def verdict(self, text: str, gold: str, finish: FinishReason) -> Verdict:
        """The verdict on a whole solution's text: on its words, where it holds code."""
        form = self.codec.code
        if form is None:
            return grade(text, gold, full_text=True, finish=finish)
        noise = form.noise(text, self.code.max_blocks, self.code.max_block_characters)
        if noise and finish == "end":
            return Verdict("undecided", None, f"garbled: {noise}")
        return grade(form.prose(text), gold, full_text=True, finish=finish)


def continue_solution(
    problem: Problem, kept: tuple[Step, ...], ramp: TemperatureRamp, seed: int, rules: SamplingRules
) -> Rollout[Solution]:
    """Continue a solution after its kept steps to its end, and grade the whole. Raises ReplayDiffers."""
    codec = rules.codec
    prompt = codec.prompt(problem.question)
    ids = [id for step in kept for id in step.ids]
    kept_count, temperatures = len(ids), []
    outputs: list[Given] = []
    flaw: str | None = None
    blocks = yield from replay(kept, codec.code)
    parts = steps = 0
    finish: FinishReason = "end"
    while True:
        room = max(1, rules.max_new_tokens - len(ids))
        part_seed = derive_seed(seed, "part", parts) if parts else seed
        stop = codec.closes_code if codec.code else None
        completion = yield Generate((*prompt, *ids), ramp, room, part_seed, steps, stop, rules.top_p)
        parts += 1
        ids += completion.ids
        temperatures += completion.temperatures
        if completion.finish != "stop":
            finish = completion.finish
            break
        assert codec.code is not None
        steps += codec.count_step_ends(completion.ids)
        text = codec.spell(ids).text
        flaw = codec.code.noise(text, rules.code.max_blocks, rules.code.max_block_characters)
        output = None if flaw else (yield Execute(codec.code.open_code(text) or "", fresh=not blocks))
        blocks += 1
        if output is not None:
            flaw, given = given_ids(codec, output.text, text)
        if output is None or flaw or len(ids) + len(given) >= rules.max_new_tokens:
            finish = "length"
            break
        outputs.append((len(ids), len(ids) + len(given), output.status))
        ids += given
        temperatures += [0.0] * len(given)
    try:
        own = codec.steps(ids, temperatures, kept=kept_count, outputs=outputs)
    except ModelError as error:
        flaw, own = flaw or str(error), (Step(codec.spell(ids[kept_count:]).text, tuple(ids[kept_count:])),)
    all_steps = (*kept, *own)
    if codec.code and not flaw and wrote_outputs(all_steps, codec.code):
        flaw = "an output without code"
    verdict = rules.verdict("".join(step.text for step in all_steps), problem.answer, finish)
    if flaw:
        verdict = Verdict("undecided", None, f"garbled: {flaw}")
    solution = Solution(all_steps, verdict, finish)
    if verdict.is_wrong and not solution.is_sound:
        return Solution(all_steps, Verdict("undecided", verdict.extracted, STOPPED_CODE, verdict.rule), finish)
    return solution


def wrote_outputs(steps: tuple[Step, ...], form: CodeFormat) -> bool:
    """Whether a solution holds outputs that no code gave: its model made them up."""
    text = "".join(step.text for step in steps)
    return sum(piece.kind == "output" for piece in form.pieces(text)) > sum(step.output is not None for step in steps)


def replay(kept: tuple[Step, ...], form: CodeFormat | None) -> Rollout[int]:
    """Run the code of the kept steps again, in a new session; returns how many pieces that were. Raises ReplayDiffers."""
    count = 0
    for step in kept:
        found = form.code_and_output(step.text) if form is not None and step.kind == "code" else None
        if form is None or found is None:
            continue
        code, recorded = found
        output = yield Execute(code, fresh=count == 0)
        count += 1
        if form.given(output.text).lstrip("\n") != recorded.lstrip("\n"):
            raise ReplayDiffers
    return count


def given_ids(codec: Codec, printed: str, behind: str) -> tuple[str | None, tuple[int, ...]]:
    """(None, the ids that are given behind the text `behind` for what its code printed) or (why there are none, no ids)."""
    assert codec.code is not None
    if codec.code.stray.search(printed) or any(token in printed for token in codec.tokenizer.all_special_tokens):
        return "a marker inside a block", ()
    try:
        return None, codec.follow(codec.code.given(printed, behind))
    except ModelError:
        return UNSPELLED_OUTPUT, ()
