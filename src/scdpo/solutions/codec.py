"""Between text and token ids: prompts, worked solutions, and the steps of ids that a model generated.

A worked solution is tokenized once; generated ids are kept as they are and only ever read. A step ends where a token
ends, inside the white space between two steps, so a fork is a token position and the kept ids are a prefix of the
whole's ids by construction. Knows no model and no tree.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from scdpo.errors import ModelError
from scdpo.solutions.solution import Step
from scdpo.solutions.splitting import cut_windows, is_answer_step

BROKEN = "\ufffd"


@dataclass(frozen=True, slots=True)
class TokenText:
    """The text that ids spell. starts[i]: the character where token i begins, for i up to len(ids).

    None where token i begins inside a character (byte-level tokens), or where its place cannot be known.
    """

    text: str
    starts: tuple[int | None, ...]


class Codec:
    """A tokenizer, the prompt template, and the step format (lines), as one way to and from ids.

    tokenizer: any fast tokenizer of transformers; template: the prompt, with {question} in it.
    """

    def __init__(self, tokenizer: Any, template: str = "{question}\n") -> None:
        if "{question}" not in template:
            raise ModelError('prompt template has no "{question}"; put it where the question belongs')
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-sequence token; a solution could never end")
        self.tokenizer = tokenizer
        self.template = template
        self.pieces: dict[int, str] = {}
        self.prompts: dict[str, tuple[int, ...]] = {}

    @property
    def end_id(self) -> int:
        return self.tokenizer.eos_token_id

    @cached_property
    def step_end_ids(self) -> frozenset[int]:
        """The ids whose text holds a line end: the engine counts a step when one of them follows visible text."""
        texts = self.tokenizer.batch_decode([[id] for id in range(len(self.tokenizer))], **DECODING)
        return frozenset(id for id, text in enumerate(texts) if "\n" in text)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The ids that a model sees before the solution, with whatever the tokenizer puts in front of a text.

        Raises ModelError where the tokenizer cannot spell the question.
        """
        if question not in self.prompts:
            text = self.template.replace("{question}", question)
            ids = self._known(self.tokenizer(text)["input_ids"], question)
            self.prompts[question] = ids[:-1] if ids and ids[-1] == self.end_id else ids
        return self.prompts[question]

    def read(self, text: str) -> tuple[Step, ...]:
        """The steps of a worked solution, tokenized here and nowhere else.

        Raises ModelError where the tokenizer cannot spell the text exactly.
        """
        ids = self._known(self.tokenizer(text, add_special_tokens=False)["input_ids"], text)
        steps = self.steps(ids)
        if "".join(step.text for step in steps) != text:
            raise ModelError(f"the tokenizer does not spell this text exactly: {text[:60]!r}")
        return steps

    def steps(self, ids: Sequence[int], temperatures: Sequence[float] | None = None, kept: int = 0) -> tuple[Step, ...]:
        """The steps that `ids` spell, after the first `kept` ids.

        temperatures: one for each id after the kept ones, as sampled. Joined, the steps are exactly ids[kept:] and the
        text that these add.
        """
        spelled = self.spell(ids)
        cuts = [kept, *(cut for cut in self.cuts(spelled) if cut > kept), len(ids)] if len(ids) > kept else []
        places = [0 if cut == 0 else spelled.starts[cut] for cut in cuts]
        found = []
        for (first, last), (start, stop) in zip(pairwise(cuts), pairwise(places), strict=True):
            text = spelled.text[start:stop]
            final = last == len(ids)
            found.append(
                Step(
                    text=text,
                    ids=tuple(ids[first:last]),
                    kind="answer" if final and is_answer_step(text) else "text",
                    temperature=None if temperatures is None else temperatures[first - kept],
                )
            )
        return tuple(found)

    def cuts(self, spelled: TokenText) -> list[int]:
        """The token positions where a step may end: in each white space between steps, the last token boundary."""
        usable = [(start, index) for index, start in enumerate(spelled.starts) if start is not None]
        characters = [start for start, _ in usable]
        found = []
        for window in cut_windows(spelled.text):
            place = bisect_right(characters, window.stop) - 1
            if place >= 0 and characters[place] >= window.start:
                found.append(usable[place][1])
        return found

    def spell(self, ids: Sequence[int]) -> TokenText:
        """The text of `ids` and where each of them begins in it."""
        text = self.tokenizer.decode(ids, **DECODING)
        pieces = [self._piece(id) for id in ids]
        if BROKEN not in text and "".join(pieces) == text:
            starts, place = [0], 0
            for piece in pieces:
                place += len(piece)
                starts.append(place)
            return TokenText(text, tuple(starts))
        prefixes = [self.tokenizer.decode(ids[:index], **DECODING) for index in range(len(ids))]
        whole = (prefix if text.startswith(prefix) and not prefix.endswith(BROKEN) else None for prefix in prefixes)
        return TokenText(text, (*(None if prefix is None else len(prefix) for prefix in whole), len(text)))

    def _piece(self, id: int) -> str:
        if id not in self.pieces:
            self.pieces[id] = self.tokenizer.decode([id], **DECODING)
        return self.pieces[id]

    def _known(self, ids: list[int], text: str) -> tuple[int, ...]:
        unknown = self.tokenizer.unk_token_id
        ordinary = unknown not in (None, self.tokenizer.bos_token_id, self.end_id)
        if ordinary and unknown in ids:
            raise ModelError(f"the tokenizer has no token for a part of {text[:60]!r}")
        return tuple(ids)


DECODING = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
