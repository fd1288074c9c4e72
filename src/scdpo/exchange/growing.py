"""From pairs of texts to trees: rows that share a question and a chosen solution become one tree with a branch each.

Here texts become tokens, once (see solutions/codec). What cannot be a pair is counted by reason, and nothing is cut short.
Knows no format and no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count

from scdpo.errors import ModelError
from scdpo.exchange.pair import NotImportable, TextPair
from scdpo.grading.extraction import GUESSES, extract
from scdpo.grading.grade import grade
from scdpo.solutions.codec import Codec
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.solutions.verdict import Verdict

AS_IMPORTED = "as imported"
"""The rule of verdicts that a file gives by calling one side preferred."""
UNREADABLE = "the tokenizer cannot spell it, or it is not in the code format"
Key = tuple[str, str, str]


@dataclass
class Growth:
    """What became of a file's records.

    left_out: records that are not pairs, by reason; moved: pairs whose kept steps ended inside a step, so that their fork lies
    before it; answers: problems whose gold answer is what the chosen solution states, for want of one in the file; ungraded:
    pairs that should have been graded again, and have no gold answer or are single steps.
    """

    trees: list[SolutionTree] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    answers: int = 0
    ungraded: int = 0

    @property
    def naive(self) -> int:
        return sum(not branch.is_step_controlled for tree in self.trees for branch in tree.branches)

    @property
    def step_controlled(self) -> int:
        return sum(len(tree.branches) for tree in self.trees) - self.naive


def grow(pairs: Iterable[TextPair], codec: Codec, regrade: bool = False) -> Growth:
    """The trees of the pairs, in the order of their first pairs.

    regrade: grade every whole solution whose gold answer the file has, and leave out the pairs whose sides are then not right
    and wrong.
    """
    growth = Growth()
    groups: dict[Key, list[TextPair]] = {}
    for pair in map(_with_line_ends, pairs) if codec.code else pairs:
        flaw = find_flaw(pair)
        if flaw:
            growth.left_out[flaw] += 1
        else:
            groups.setdefault((pair.question, pair.kept + pair.chosen, pair.finish), []).append(pair)
    taken = {group[0].problem for group in groups.values()}
    free = (name for name in map("imported-{:05d}".format, count()) if name not in taken)
    used: set[str] = set()
    for group in groups.values():
        own = group[0].problem
        tree = _grow_one(own if own and own not in used else next(free), group, codec, growth, regrade)
        if tree is not None:
            used.add(tree.problem)
            growth.trees.append(tree)
    return growth


def _with_line_ends(pair: TextPair) -> TextPair:
    """A pair of solutions with code as the codec reads it, so that its places are the codec's."""
    sides = (pair.kept, pair.chosen, pair.rejected)
    kept, chosen, rejected = (text.replace("\r\n", "\n") for text in sides)
    return replace(pair, kept=kept, chosen=chosen, rejected=rejected)


def find_flaw(pair: TextPair) -> str:
    """Why a pair can be none, empty where it can."""
    if not pair.question.strip():
        return "no question"
    for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not text.strip():
            return f"nothing in {side} after the kept steps" if pair.kept else f"nothing in {side}"
    return "chosen and rejected are the same" if pair.chosen == pair.rejected else ""


def with_questions(pairs: Sequence[TextPair], template: str) -> list[TextPair]:
    """Pairs whose question is a whole prompt, with the question and the kept steps in it told apart where the file shows them.

    Rows whose prompt and chosen joined are the same text are of one question: the shortest of their prompts, and what the
    others have more are kept steps. template: the prompt around {question}, "{question}" where it is nothing.
    """
    shortest: dict[str, str] = {}
    for pair in pairs:
        whole = pair.question + pair.chosen
        if not (pair.kept or pair.problem) and len(pair.question) < len(shortest.get(whole, whole)):
            shortest[whole] = pair.question
    before, _, behind = template.partition("{question}")
    found = []
    for pair in pairs:
        if pair.kept or pair.problem:
            found.append(pair)
            continue
        prompt = shortest.get(pair.question + pair.chosen, pair.question)
        kept = pair.question[len(prompt) :]
        fits = prompt.startswith(before) and prompt.endswith(behind) and len(prompt) >= len(before) + len(behind)
        question = prompt[len(before) : len(prompt) - len(behind)] if fits else prompt
        found.append(replace(pair, question=question, kept=kept))
    return found


def _grow_one(name: str, group: Sequence[TextPair], codec: Codec, growth: Growth, regrade: bool) -> SolutionTree | None:
    """The tree of pairs that share question and chosen solution; None where none of them can be a branch."""
    first = group[0]
    given = next((pair.answer for pair in group if pair.answer), "")
    gold = given if regrade and first.finish == "end" else ""
    growth.ungraded += len(group) if regrade and not gold else 0
    try:
        trunk = _trunk(first, codec, gold)
    except NotImportable as reason:
        growth.left_out[str(reason)] += len(group)
        return None
    branches: dict[tuple[int, str], Branch] = {}
    for pair in group:
        try:
            branch = _branch(pair, trunk, codec, gold)
        except NotImportable as reason:
            growth.left_out[str(reason)] += 1
            continue
        if (branch.fork, branch.text) in branches:
            growth.left_out["the same pair again"] += 1
            continue
        branches[branch.fork, branch.text] = branch
        growth.moved += sum(len(step.text) for step in trunk.steps[: branch.fork]) < len(pair.kept.rstrip())
    if not branches:
        return None
    answer = given or trunk.verdict.extracted or ""
    growth.answers += bool(answer and not given)
    return SolutionTree(name, first.question, trunk, tuple(branches.values()), answer)


def _trunk(pair: TextPair, codec: Codec, gold: str) -> Solution:
    """The chosen solution of a pair, graded by `gold` where that is not "". Raises NotImportable."""
    whole = pair.kept + pair.chosen
    try:
        codec.prompt(pair.question)
        steps = codec.read(whole)
    except ModelError as error:
        raise NotImportable(UNREADABLE) from error
    verdict = pair.chosen_verdict or Verdict("correct", _stated(whole), rule=AS_IMPORTED)
    if gold:
        verdict = _graded(whole, gold, codec)
        if not verdict.is_correct:
            raise NotImportable(f"chosen is graded {verdict.outcome}")
    return Solution(steps, verdict, pair.finish)


def _branch(pair: TextPair, trunk: Solution, codec: Codec, gold: str) -> Branch:
    """The rejected side of a pair as a branch of its trunk. Raises NotImportable."""
    fork = fork_of(trunk.steps, pair)
    kept, whole = trunk.steps[:fork], pair.kept + pair.rejected
    own = whole[sum(len(step.text) for step in kept) :]
    verdict = pair.rejected_verdict or Verdict("wrong", _stated(own), "dispreferred in the file", AS_IMPORTED)
    if gold:
        verdict = _graded(whole, gold, codec)
        if not verdict.is_wrong:
            raise NotImportable(f"rejected is graded {verdict.outcome}")
    try:
        return Branch(fork, codec.read(own, kept), verdict)
    except ModelError as error:
        raise NotImportable(UNREADABLE) from error


def _graded(text: str, gold: str, codec: Codec) -> Verdict:
    return grade(codec.code.prose(text) if codec.code else text, gold, full_text=True)


def fork_of(trunk: Sequence[Step], pair: TextPair) -> int:
    """How many whole steps of the trunk the pair keeps: those that end where its kept text does, but for white space that
    both sides share there, or before. Never all of them."""
    ends = list(accumulate(len(step.text) for step in trunk))[:-1]
    whole, rejected = pair.kept + pair.chosen, pair.kept + pair.rejected
    shown = len(pair.kept.rstrip())
    white = len(whole) - len(whole[len(pair.kept) :].lstrip())
    reach = max(white, len(pair.kept)) if pair.kept else 0
    return sum(end <= (reach if end >= shown else shown) and rejected[:end] == whole[:end] for end in ends)


def _stated(text: str) -> str | None:
    """The answer that a solution states; a guess at it is none."""
    found = extract(text, whole=False)
    return found.text if found and found.text and found.rule not in GUESSES else None


def import_figures(growth: Growth, records: int) -> Mapping[str, int]:
    """The figures of an import, by what they count."""
    return {
        "records": records,
        "trees": len(growth.trees),
        "naive pairs": growth.naive,
        "step-controlled pairs": growth.step_controlled,
        "forks moved to the beginning of a step": growth.moved,
        "gold answers taken from chosen": growth.answers,
        **({"pairs not graded again": growth.ungraded} if growth.ungraded else {}),
        **{f"left out: {reason}": count for reason, count in growth.left_out.most_common()},
    }
