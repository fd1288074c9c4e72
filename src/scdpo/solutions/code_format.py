"""Code-integrated solutions: how text, code and its output are marked in a text, and what of it is which.

Two formats: marked blocks (`<|code|>...<|endofblock|>`, the paper's) and fences (```` ```python ````). In both, the model
writes text and code, and the output is given to it after each piece of code. Knows characters only; no tokens and no sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scdpo.marks import BLOCK_END, CODE, EXECUTION, MARKS, TEXT

PieceKind = Literal["text", "code", "output"]
CodeFormatName = Literal["blocks", "fences"]

MARK = re.compile("|".join(map(re.escape, MARKS)))
PIECES: dict[str, PieceKind] = {TEXT: "text", CODE: "code", EXECUTION: "output"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a solution's text: what it is, the part itself, and what stands between its marks."""

    kind: PieceKind
    whole: str
    inner: str


@dataclass(frozen=True, slots=True)
class CodeFormat:
    """A way to mark code and its output.

    name: also the step format that cuts such solutions; block: a text, code or output with its marks; stray: marks that no
    piece may hold inside; output: what is given after a piece of code, with {text} for what it printed.
    """

    name: CodeFormatName
    block: re.Pattern[str]
    stray: re.Pattern[str]
    output: str

    def pieces(self, text: str) -> Iterator[Piece]:
        """The parts of a text in their order; joined they are the text."""
        place = 0
        for match in self.block.finditer(text):
            if match.start() > place:
                yield Piece("text", text[place : match.start()], text[place : match.start()])
            yield from self._pieces_of(match)
            place = match.end()
        if place < len(text):
            yield Piece("text", text[place:], text[place:])

    def _pieces_of(self, match: re.Match[str]) -> Iterator[Piece]:
        if self.name == "blocks":
            yield Piece(PIECES[match.group(1)], match.group(), match.group(2))
            return
        yield Piece("code", match.group(1), match.group(2))
        if match.group(3) is not None:
            yield Piece("output", match.group(3), match.group(4) or "")

    def given(self, printed: str, behind: str = "") -> str:
        """What the model is given after the text `behind`, which ends in code that printed `printed`."""
        whole = self.output.replace("{text}", printed)
        return whole[1:] if whole.startswith("\n") and behind.endswith("\n") else whole

    def open_code(self, text: str) -> str | None:
        """The code that ends `text` and waits for its output; None where the last piece is something else."""
        *_, last = (Piece("text", "", ""), *self.pieces(text.rstrip()))
        return last.inner if last.kind == "code" else None

    def code_and_output(self, step: str) -> tuple[str, str] | None:
        """(the code of a code step, what was given after it, marks included); None for a step without both."""
        pieces = list(self.pieces(step))
        code = next((piece.inner for piece in pieces if piece.kind == "code"), None)
        output = next((piece.whole for piece in pieces if piece.kind == "output"), None)
        return None if code is None or output is None else (code, output)

    def prose(self, text: str) -> str:
        """What a solution says in words, without its code, outputs and marks: what its answer is read from."""
        return "\n".join(MARK.sub("", piece.inner) for piece in self.pieces(text) if piece.kind == "text")

    def noise(self, text: str, most_blocks: int, most_characters: int) -> str | None:
        """What shows that a text is noise rather than a solution with code, or None."""
        pieces = [piece for piece in self.pieces(text) if piece.whole.strip()]
        if len(pieces) > most_blocks:
            return f"over {most_blocks} blocks"
        if any(len(piece.inner) > most_characters for piece in pieces):
            return f"a block of over {most_characters:,} characters"
        if any(self.stray.search(piece.inner) for piece in pieces):
            return "a marker inside a block"
        before: PieceKind = "text"
        for piece in pieces:
            if piece.kind == "output" and before != "code":
                return "an output without code"
            before = piece.kind
        return None


FORMATS: dict[CodeFormatName, CodeFormat] = {
    "blocks": CodeFormat(
        "blocks",
        re.compile(rf"({'|'.join(map(re.escape, PIECES))})(.*?){re.escape(BLOCK_END)}", re.DOTALL),
        MARK,
        EXECUTION + "{text}" + BLOCK_END,
    ),
    # The output's fence begins with the line end after the code's, which is given too: the model stops at the code's fence.
    "fences": CodeFormat(
        "fences",
        re.compile(
            r"(^```python[^\S\n]*\n(.*?)^```[^\S\n]*)(?![^\n])(\n{1,2}```output\n(.*?)(?:(?<!^)\n)?^```(?:\n|\Z))?",
            re.DOTALL | re.MULTILINE,
        ),
        re.compile(r"```"),
        "\n```output\n{text}\n```\n",
    ),
}
