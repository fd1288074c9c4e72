"""Credited solutions in the terminal: each step's tokens coloured by score, its sum beside it, the wrong step marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from scdpo.credit.record import SFT_LOG_PROB, CreditedSolution

HIGH, LOW = (33, 102, 172), (179, 88, 6)
"""Blue and orange, told apart by the colour-blind; on a white ground they are darker the further from zero."""
WIDTH = 34
"""Columns of the terminal that a score gets at least."""
FAINT = 0.04
"""Below this share of the strongest value a token stays plain."""


def print_solution(solution: CreditedSolution, scores: Sequence[str], console: Console) -> None:
    """The question, the answer, and the scores side by side, as many as the terminal has room for, the others below."""
    limits = {score: strongest(solution, [score] if score == SFT_LOG_PROB else _rewards(scores)) for score in scores}
    console.print(Text(solution.name, style="bold"), soft_wrap=True)
    console.print(Text(solution.question), soft_wrap=True)
    told = {True: "right", False: "wrong", None: "not decided"}[solution.right]
    gold = f", gold answer {solution.answer}" if solution.answer else ""
    console.print(Text(f"answer {solution.stated or '-'}: {told}{gold}", style="dim"))
    at_once = max(1, (console.width - 6) // WIDTH)
    for first in range(0, len(scores), at_once):
        console.print(side_by_side(solution, {score: limits[score] for score in scores[first : first + at_once]}))


def side_by_side(solution: CreditedSolution, limits: Mapping[str, float]) -> Table:
    """A row a step: its number, and by score the coloured tokens with their sum. limits: score -> where its colours end."""
    scores = list(limits)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", justify="right")
    for score in scores:
        table.add_column(f"{score}, ±{limits[score]:.2g}", ratio=1, overflow="fold")
        table.add_column("nats", justify="right", no_wrap=True)
    columns = {score: coloured_steps(solution, score, limits[score]) for score in scores}
    sums = {score: solution.step_sums(score) for score in scores}
    lowest = {score: solution.lowest_step(score) for score in scores}
    for step in range(len(solution.steps)):
        is_wrong = step == solution.error_step
        cells: list[Text] = [Text(f"✗ {step + 1}" if is_wrong else str(step + 1), style="bold red" if is_wrong else "")]
        for score in scores:
            value = sums[score][step]
            mark = " ◀" if step == lowest[score] else "  "
            cells += [columns[score][step], Text("-" if value is None else f"{value:+.2f}{mark}")]
        table.add_row(*cells)
    return table


def _rewards(scores: Sequence[str]) -> list[str]:
    """The scores that share one scale."""
    return [score for score in scores if score != SFT_LOG_PROB]


def strongest(solution: CreditedSolution, scores: Sequence[str]) -> float:
    """The largest absolute value of a token: where the colours end."""
    return max((abs(value) for score in scores for value in solution.values[score] if value is not None), default=0.0) or 1.0


def coloured_steps(solution: CreditedSolution, score: str, limit: float) -> list[Text]:
    """Each step with its tokens coloured. Tokens that share a character are one piece, of their sum."""
    pieces: dict[tuple[int, int], float | None] = {}
    for span, value in zip(solution.spans, solution.values[score], strict=True):
        if span[0] < span[1]:
            before = pieces.get(span)
            pieces[span] = value if before is None else before + (value or 0.0)
    steps = []
    for start, stop in solution.steps:
        text, at = Text(), start
        for (first, last), value in sorted(pieces.items()):
            if start <= first < stop:
                text.append(solution.text[at:first])
                style = Style(dim=True) if value is None else colour(value / limit)
                text.append(solution.text[first : min(last, stop)], style=style)
                at = min(last, stop)
        text.append(solution.text[at:stop])
        text.rstrip()
        steps.append(text)
    return steps


def colour(strength: float) -> Style:
    """The style of a value between -1 and 1: no colour near zero, dark at the ends."""
    depth = min(1.0, abs(strength))
    if depth < FAINT:
        return Style()
    end = HIGH if strength > 0 else LOW
    red, green, blue = (round(255 - (255 - part) * (0.15 + 0.85 * depth)) for part in end)
    ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "black"
    return Style(color=ink, bgcolor=f"rgb({red},{green},{blue})", underline=strength < -0.25)
