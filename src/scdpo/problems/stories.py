"""Stories: a procedural family of multi-step word problems, with a worked solution and the truth of every step.

A story is a chain of quantities: a given one, then 3 to 7 that follow, each needed for the next, told in several sentence
forms, among sentences that do not matter. Knows no model and no split (see source).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scdpo.marks import BLOCK_END, CODE, EXECUTION, TEXT
from scdpo.problems.problem import Problem

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jack", "Kira", "Leo")
ITEMS = ("apples", "books", "coins", "eggs", "marbles", "pens", "shells", "stamps")
TOTAL = "All"
MAX_START = 40
MAX_VALUE = 60
MAX_CHANGE = 9

STATEMENTS: dict[str, tuple[str, ...]] = {
    "given": ("{v} has {n} {items}.", "{v} starts with {n} {items}.", "There are {n} {items} in the bag of {v}."),
    "more": ("{v} has {n} more than {r}.", "{v} is {n} ahead of {r}.", "{v} beats {r} by {n}."),
    "fewer": ("{v} has {n} fewer than {r}.", "{v} is {n} behind {r}.", "{v} falls short of {r} by {n}."),
    "times": ("{v} has {n} times as many as {r}.", "{v} has {n} for each one of {r}.", "{v} has what {r} has, {n} times over."),
    "part": (
        "{v} has 1 for every {n} of {r}.",
        "{v} has one of {n} equal parts of {r}.",
        "{v} has what {r} has divided by {n}.",
    ),
}
DISTRACTIONS = ("{d} is {n} years old.", "{d} has {n} {others}.", "{d} lost {n} {others}.")
RELATIONS = ("more", "fewer", "times", "part")
OPERATORS = {"more": "+", "fewer": "-", "times": "*", "part": "/", "total": "+"}
CHAIN_LENGTHS, CHAIN_WEIGHTS = (3, 4, 5, 6, 7), (40, 27, 17, 10, 6)
ASKS_TOTAL = 0.1
DISTRACTION_COUNTS, DISTRACTION_WEIGHTS = (0, 1, 2), (75, 20, 5)


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many items `owner` has, and from what it follows.

    operands: the owners that it follows from (none for a given quantity); number: the number told in its sentence.
    """

    owner: str
    relation: str
    operands: tuple[str, ...]
    number: int | None
    value: int


def draw_relation(rng: random.Random, owner: str, chain: list[Quantity]) -> Quantity | None:
    """A quantity that follows from the last one of `chain`, or None where the numbers drawn do not suit."""
    last = chain[-1]
    relation = rng.choice(RELATIONS)
    number = rng.randint(2, 5) if relation in ("times", "part") else rng.randint(2, MAX_CHANGE)
    if relation == "part" and last.value % number:
        return None
    value = {
        "more": last.value + number,
        "fewer": last.value - number,
        "times": last.value * number,
        "part": last.value // number,
    }[relation]
    quantity = Quantity(owner, relation, (last.owner,), number, value)
    return quantity if 2 <= quantity.value <= MAX_VALUE else None


def draw_chain(rng: random.Random, length: int, names: list[str]) -> list[Quantity]:
    """A given quantity and `length` quantities after it, each needed for the next."""
    chain = [Quantity(names[0], "given", (), (start := rng.randint(5, MAX_START)), start)]
    while len(chain) <= length:
        quantity = draw_relation(rng, names[len(chain)], chain)
        if quantity is not None:
            chain.append(quantity)
    return chain


def tell(rng: random.Random, quantity: Quantity, items: str) -> str:
    """One sentence that states the quantity."""
    form = rng.choice(STATEMENTS[quantity.relation])
    return form.format(v=quantity.owner, r="".join(quantity.operands), n=quantity.number, items=items)


def equation(quantity: Quantity, values: dict[str, int]) -> tuple[int, str, int, int]:
    """(left, operator, right, result) of the line that works the quantity out."""
    left = values[quantity.operands[0]]
    right = quantity.number if quantity.number is not None else values[quantity.operands[1]]
    return left, OPERATORS[quantity.relation], right, quantity.value


def draw_total(rng: random.Random, chain: list[Quantity]) -> Quantity | None:
    """The sum of the chain's last quantity and an earlier one, for a question about both; None where none is small enough."""
    last = chain[-1]
    fitting = [quantity for quantity in chain[:-1] if quantity.value + last.value <= MAX_VALUE]
    if not fitting:
        return None
    first = rng.choice(fitting)
    return Quantity(TOTAL, "total", (first.owner, last.owner), None, first.value + last.value)


def make_story(rng: random.Random) -> tuple[tuple, Problem]:
    """One story and its signature: equal signatures are the same problem told in other words or with other names."""
    length = rng.choices(CHAIN_LENGTHS, CHAIN_WEIGHTS)[0]
    names = rng.sample(NAMES, len(NAMES))
    items, others = rng.sample(ITEMS, 2)
    total = None
    if rng.random() < ASKS_TOTAL:
        while total is None:
            chain = draw_chain(rng, length - 1, names)
            total = draw_total(rng, chain)
        question = f"How many {items} do {total.operands[0]} and {total.operands[1]} have in all?"
    else:
        chain = draw_chain(rng, length, names)
        question = f"How many {items} does {chain[-1].owner} have?"

    sentences = [tell(rng, quantity, items) for quantity in chain]
    for name in names[len(chain) :][: rng.choices(DISTRACTION_COUNTS, DISTRACTION_WEIGHTS)[0]]:
        form = rng.choice(DISTRACTIONS)
        sentence = form.format(d=name, n=rng.randint(2, 60), others=others)
        sentences.insert(rng.randint(0, len(sentences)), sentence)

    steps = [*chain[1:], *([total] if total else [])]
    values = {quantity.owner: quantity.value for quantity in chain}
    equations = {step.owner: equation(step, values) for step in steps}
    answer = steps[-1].value
    lines = [f"{owner}: {a} {operator} {b} = {c}" for owner, (a, operator, b, c) in equations.items()]
    place = {quantity.owner: index for index, quantity in enumerate(chain)}
    signature = tuple((q.relation, tuple(place[name] for name in q.operands), q.number) for q in (chain[0], *steps))
    problem = Problem(
        id="",
        question=" ".join([*sentences, question]),
        answer=str(answer),
        solution="\n".join([*lines, f"#### {answer}"]),
        facts={"equations": {owner: list(parts) for owner, parts in equations.items()}},
    )
    return signature, problem


def is_hard(left: int, operator: str, right: int) -> bool:
    """Whether a line wants a computer: products, quotients, and sums and differences in which a digit carries."""
    units = left % 10 + (right % 10 if operator == "+" else -(right % 10))
    return operator in "*/" or not 0 <= units <= 9


def with_code(problem: Problem) -> Problem:
    """The same story solved with code, in marked blocks: what is hard is computed, what is easy is written.

    A computed quantity stays in a variable of its owner's name, and later code uses that; a written one is not a variable.
    """
    assert problem.facts is not None
    steps, variable = [], ""
    for owner, (left, operator, right, result) in problem.facts["equations"].items():
        if is_hard(left, operator, right):
            first, second = (left, variable or right) if owner == TOTAL else (variable or left, right)
            code = f"{owner} = {first} {'//' if operator == '/' else operator} {second}\nprint({owner})"
            steps.append(f"{CODE}{code}{BLOCK_END}{EXECUTION}{result}{BLOCK_END}")
            variable = owner
        else:
            steps.append(f"{TEXT}{owner}: {left} {operator} {right} = {result}{BLOCK_END}")
            variable = ""
    return replace(problem, solution="".join([*steps, f"{TEXT}#### {problem.answer}{BLOCK_END}"]))


def stories_with_code(seed: int) -> Iterator[tuple[tuple, Problem]]:
    """The same stream of stories, with solutions that compute."""
    return ((signature, with_code(problem)) for signature, problem in stories(seed))


def stories(seed: int) -> Iterator[tuple[tuple, Problem]]:
    """An endless stream of stories with their signatures, the same for the same seed."""
    rng = random.Random(f"stories:{seed}")
    while True:
        yield make_story(rng)
