"""Between text and token ids: prompts, worked solutions, and the steps of ids that a model generated.

A worked solution is tokenized once; generated ids are kept as they are and only ever read. A step ends where a token
ends, in the window that the splitting gives (the white space between two steps), so a fork is a token position and the kept
ids are a prefix of the whole's ids by construction. Knows no model and no tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from scdpo.errors import ModelError
from scdpo.marks import BLOCK_END, CODE, EXECUTION, MARKS, MESSAGE_END, TEXT
from scdpo.solutions.code_format import FORMATS as CODE_FORMATS
from scdpo.solutions.prompting import Chat, Prompter, end_ids
from scdpo.solutions.settings import CodeSettings
from scdpo.solutions.solution import CodeOutput, Step
from scdpo.solutions.splitting import StepFormat, code_windows, cut_windows, step_kind
from scdpo.solutions.step_count import steps_before

Given = tuple[int, int, str]
"""Where an output lies among ids, and the status of its code: (first, behind the last, status)."""
BROKEN = "\ufffd"
LINE_END = re.compile(r"\n")
# What ends a step for the engine, which sees single tokens: as near to the format as a token can tell.
STEP_ENDS = {
    "paragraphs": re.compile(r"\n\s*\n"),
    "sentences": re.compile(r"[.!?。！？]\s*$"),
    "blocks": re.compile(r"<\|endofblock\|>"),
    "fences": re.compile(r"```"),
}


@dataclass(frozen=True, slots=True)
class TokenText:
    """The text that ids spell. starts[i]: the character where token i begins, for i up to len(ids).

    None where token i begins inside a character (byte-level tokens), or where its place cannot be known.
    """

    text: str
    starts: tuple[int | None, ...]


class Codec:
    """A tokenizer, the form of the prompt, and the step format, as one way to and from ids.

    tokenizer: any fast tokenizer of transformers; template and chat: see Prompter; format: how solutions are cut
    into steps, "auto" for whatever format each of them shows; code: of solutions with code, whose format then cuts the steps.
    Raises ModelError for a prompt that the tokenizer cannot serve, and for a tokenizer that lacks what the format needs.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str = "{question}\n",
        format: StepFormat = "auto",
        code: CodeSettings | None = None,
        chat: Chat | None = None,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-sequence token; a solution could never end")
        self.tokenizer = tokenizer
        self.prompter = Prompter(tokenizer, template, chat)
        self.code = CODE_FORMATS[code.format] if code is not None and code.format else None
        self.counts_outputs = code is not None and code.output_loss
        self.format: StepFormat = self.code.name if self.code else format
        self.marks = {}
        if self.code and self.code.name == "blocks":
            self.marks = {marker: tokenizer.convert_tokens_to_ids(marker) for marker in MARKS}
            missing = [marker for marker, id in self.marks.items() if id in (None, tokenizer.unk_token_id)]
            if missing:
                raise ModelError(
                    f"the tokenizer has no tokens {', '.join(missing)}; fine-tune on worked solutions (problems.sft above 0), "
                    'which adds them, or set code.format = "fences"'
                )
        self.pieces: dict[int, str] = {}
        self.prompts: dict[str, tuple[int, ...]] = {}

    @property
    def end_id(self) -> int:
        """The id that ends a solution: what its format ends it with, else what the prompt asks for."""
        return self.marks.get(MESSAGE_END, self.prompter.end_id)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The ids at which generation ends: also those of a model that ends in another way than it is taught to."""
        return frozenset({self.end_id, *end_ids(self.tokenizer)})

    @cached_property
    def step_end_ids(self) -> frozenset[int]:
        """The ids whose text holds the end of a step (a line end, or what the format has): the engine counts by them."""
        texts = self.tokenizer.batch_decode([[id] for id in range(len(self.tokenizer))], **DECODING)
        return frozenset(id for id, text in enumerate(texts) if STEP_ENDS.get(self.format, LINE_END).search(text))

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The ids at which a piece of code may end: whether it does, closes_code tells."""
        if self.code is None or self.marks:
            return frozenset({self.marks[BLOCK_END]}) if self.marks else frozenset()
        return frozenset(id for id in range(len(self.tokenizer)) if "`" in self.piece(id))

    def closes_code(self, ids: Sequence[int]) -> bool:
        """Whether ids that the model wrote end in a piece of code, so that its output is due."""
        if self.code is None:
            return False
        if self.marks:
            openers = (self.marks[TEXT], self.marks[CODE], self.marks[EXECUTION])
            opener = next((id for id in reversed(ids[:-1]) if id in openers), None)
            return ids[-1] == self.marks[BLOCK_END] and opener == self.marks[CODE]
        return self.code.open_code(self.tokenizer.decode(ids, **DECODING)) is not None

    def count_step_ends(self, ids: Sequence[int]) -> int:
        """How many steps end within ids, as the engine counts them for the temperature ramp."""
        return steps_before(ids, self.step_end_ids)[-1]

    def follow(self, text: str) -> tuple[int, ...]:
        """The ids of a text in the midst of a solution, as an output is. Raises ModelError where it cannot be spelled."""
        whole = self.tokenizer(self._anchor_text + text, add_special_tokens=False)["input_ids"]
        ids = whole[len(self._anchor) :]
        if whole[: len(self._anchor)] != self._anchor or self._behind(ids) != text:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids and self._behind(ids) != text:
            raise ModelError(f"the tokenizer does not spell this text exactly: {text[:60]!r}")
        return self._known(ids, text)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The ids that a model sees before the solution (see Prompter).

        Raises ModelError where the tokenizer cannot spell the question.
        """
        if question not in self.prompts:
            self.prompts[question] = self._known(self.prompter.ids(question), question)
        return self.prompts[question]

    def read(self, text: str, kept: Sequence[Step] = ()) -> tuple[Step, ...]:
        """The steps of a worked solution, tokenized here and nowhere else; with `kept`, of how it goes on after these.

        Raises ModelError where the tokenizer cannot spell the text exactly, and for a text that is not in the code format that
        it should be in: its outputs could not be told from what the model is to write.
        """
        if self.code is not None:
            text = text.replace("\r\n", "\n").removesuffix(MESSAGE_END)
            flaw = self.code.noise(text, len(text), len(text))
            if flaw:
                raise ModelError(f"no solution in {self.code.name} ({flaw}): {text[:60]!r}")
        ids = [id for step in kept for id in step.ids]
        before = len(ids)
        outputs: list[Given] = []
        for written, given in self._turns(text):
            ids += self.follow(written) if ids else self._opening(written)
            if given:
                output = self.follow(given)
                outputs.append((len(ids), len(ids) + len(output), "ok"))
                ids += output
        steps = self.steps(ids, kept=before, outputs=outputs)
        if "".join(step.text for step in steps) != text:
            raise ModelError(f"the tokenizer does not spell this text exactly: {text[:60]!r}")
        return steps

    def _opening(self, text: str) -> tuple[int, ...]:
        """The ids of a solution's beginning."""
        return self._known(self.tokenizer(text, add_special_tokens=False)["input_ids"], text)

    def _turns(self, text: str) -> Iterator[tuple[str, str]]:
        """(what the model writes, the output that it is given then) of a worked solution, one after another."""
        written = ""
        for piece in self.code.pieces(text) if self.code else ():
            if piece.kind == "output":
                yield written, piece.whole
                written = ""
            else:
                written += piece.whole
        yield (written if self.code else text), ""

    def steps(
        self,
        ids: Sequence[int],
        temperatures: Sequence[float] | None = None,
        kept: int = 0,
        outputs: Sequence[Given] = (),
    ) -> tuple[Step, ...]:
        """The steps that `ids` spell, after the first `kept` ids.

        temperatures: one for each id after the kept ones, as sampled; outputs: where among all ids the outputs of code lie,
        with their status. Joined, the steps are exactly ids[kept:] and the text that these add. Raises ModelError where an
        output would not lie within one step.
        """
        spelled = self.spell(ids)
        left = [output for output in outputs if output[0] >= kept]
        cuts = [kept, *(cut for cut in self.cuts(spelled) if cut > kept), len(ids)] if len(ids) > kept else []
        places = [0 if cut == 0 else spelled.starts[cut] for cut in cuts]
        found = []
        for (first, last), (start, stop) in zip(pairwise(cuts), pairwise(places), strict=True):
            text = spelled.text[start:stop]
            final = last == len(ids)
            output = None
            if left and left[0][0] < last:
                begin, end, status = left.pop(0)
                if begin < first or end > last or (left and left[0][0] < last):
                    raise ModelError("an execution output lies across steps; its text has marks of steps of its own")
                output = CodeOutput(begin - first, end - first, status)
            found.append(
                Step(
                    text=text,
                    ids=tuple(ids[first:last]),
                    kind=step_kind(text, final),
                    temperature=None if temperatures is None else temperatures[first - kept],
                    output=output,
                )
            )
        return tuple(found)

    def cuts(self, spelled: TokenText) -> list[int]:
        """The token positions where a step may end: in each white space between steps, the last token boundary."""
        usable = [(start, index) for index, start in enumerate(spelled.starts) if start is not None]
        characters = [start for start, _ in usable]
        found = []
        text = spelled.text
        for window in code_windows(text, self.code) if self.code else cut_windows(text, self.format):
            place = bisect_right(characters, window.stop) - 1
            if place >= 0 and characters[place] >= window.start:
                found.append(usable[place][1])
        return found

    def spell(self, ids: Sequence[int]) -> TokenText:
        """The text of `ids` and where each of them begins in it."""
        text = self.tokenizer.decode(ids, **DECODING)
        spelled, starts = self._joined(ids)
        if spelled == text:
            return TokenText(text, (*starts, len(text)))
        if spelled == " " + text:  # tokenizers of the SentencePiece kind drop a text's first space
            return TokenText(text, (*(None if start is None else max(0, start - 1) for start in starts), len(text)))
        prefixes = [self.tokenizer.decode(ids[:index], **DECODING) for index in range(len(ids))]
        whole = (prefix if text.startswith(prefix) and not prefix.endswith(BROKEN) else None for prefix in prefixes)
        return TokenText(text, (*(None if prefix is None else len(prefix) for prefix in whole), len(text)))

    def _joined(self, ids: Sequence[int]) -> tuple[str, list[int | None]]:
        """The texts of `ids` one after the other, and where each begins; None inside a character."""
        pieces = [self.piece(id) for id in ids]
        spelled = "".join(pieces)
        if BROKEN not in spelled:
            return spelled, [0, *accumulate(map(len, pieces[:-1]))] if pieces else []
        starts: list[int | None] = []
        spelled, place = "", 0
        while place < len(ids):
            stop = place + 1
            if BROKEN in pieces[place]:
                while stop < len(ids) and BROKEN in pieces[stop]:
                    stop += 1
            starts.extend(None if inside is None else len(spelled) + inside for inside in self._inside(ids[place:stop]))
            spelled += self._behind(ids[place:stop])
            place = stop
        return spelled, starts

    def _inside(self, ids: Sequence[int]) -> list[int | None]:
        """Where each of a few ids begins in the text that they spell together; None inside a character."""
        if len(ids) == 1:
            return [0]
        whole = self._behind(ids)
        prefixes = (self._behind(ids[:count]) for count in range(len(ids)))
        return [len(p) if whole.startswith(p) and not p.endswith(BROKEN) else None for p in prefixes]

    def _behind(self, ids: Sequence[int]) -> str:
        """What ids add to a text that goes before: some decoders treat the first token of a text otherwise."""
        if len(ids) == 1:
            return self.piece(ids[0])
        return self.tokenizer.decode([*self._anchor, *ids], **DECODING)[len(self._anchor_text) :]

    def piece(self, id: int) -> str:
        """The text of one token after other text; with BROKEN in it where it is a part of a character."""
        if id not in self.pieces:
            self.pieces[id] = self.tokenizer.decode([*self._anchor, id], **DECODING)[len(self._anchor_text) :]
        return self.pieces[id]

    @cached_property
    def _anchor(self) -> list[int]:
        """Some visible text to decode after."""
        ids = self.tokenizer("1", add_special_tokens=False)["input_ids"]
        return ids if self.tokenizer.decode(ids, **DECODING).strip() == "1" else []

    @cached_property
    def _anchor_text(self) -> str:
        return self.tokenizer.decode(self._anchor, **DECODING) if self._anchor else ""

    def _known(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        unknown = self.tokenizer.unk_token_id
        ordinary = unknown not in (None, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        if ordinary and unknown in ids:
            raise ModelError(f"the tokenizer has no token for a part of {text[:60]!r}")
        return tuple(ids)


DECODING = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
