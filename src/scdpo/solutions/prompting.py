"""From a question to what a model sees before its solution: a plain template, or the tokenizer's own chat template around it.

Every prompt is made here, so that sampling, training, evaluation and credit cannot differ in it. What doubles a mark (the begin
of a sequence, the header of a turn) or lacks one is refused when the prompt is set up. Knows tokenizers; no steps, no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scdpo.errors import ModelError, first_line
from scdpo.marks import MESSAGE_END
from scdpo.problems.problem import Problem

PLACE = "{question}"
# What stands for a question and an answer while a chat template is looked at; no template writes such words itself.
QUESTION, ANSWER, NEXT = "scdpo-question-1", "scdpo-answer-1", "scdpo-question-2"
PROSE = ("### Instruction:", "### Response:")
"""Words rather than marks: an answer may have another heading."""
WRITTEN = (
    ("<|im_start|>user", "<|im_start|>assistant"),
    ("<|start_header_id|>user<|end_header_id|>", "<|start_header_id|>assistant<|end_header_id|>"),
    ("<start_of_turn>user", "<start_of_turn>model"),
    ("<|user|>", "<|assistant|>"),
    ("[INST]", "[/INST]"),
    PROSE,
)
"""Headers of the user and of the answer that people write into plain prompts, whose tokenizer need not know of them."""


@dataclass(frozen=True, slots=True)
class Chat:
    """How a tokenizer's chat template is used: the system message, the text that an answer is begun with, and what the template
    itself takes."""

    system: str = ""
    answer_start: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatMarks:
    """What a chat template writes around messages, without white space at its ends; "" where it writes nothing.

    user, assistant: the headers of a turn; end: after an answer; end_id: the token that this begins with, None where it is no
    token of its own; forgotten: the assistant's header, where the template leaves it out when it asks for an answer;
    repeats_bos: whether a beginning-of-sequence token comes with every turn.
    """

    user: str
    assistant: str
    end: str
    end_id: int | None
    forgotten: str
    repeats_bos: bool

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(mark for mark in (self.user, self.assistant, self.end) if mark)

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(mark for mark in (self.user, self.assistant) if mark)


def written_marks(template: str) -> list[ChatMarks]:
    """The headers of known formats that stand in a plain template."""
    found = [(user, answer) for user, answer in WRITTEN if user in template or answer in template]
    return [ChatMarks(user, answer, "", None, "", False) for user, answer in found]


def chat_marks(tokenizer: Any, options: Mapping[str, Any] | None = None) -> ChatMarks | None:
    """The marks of a tokenizer's chat template; None where it has none, or one that takes no plain conversation."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    said = [("user", QUESTION), ("assistant", ANSWER), ("user", NEXT)]
    try:
        asked = _rendered(tokenizer, said[:1], options)
        bare, answered, longer = (_rendered(tokenizer, said[:count], options, asks=False) for count in (1, 2, 3))
        before, tail = answered.split(ANSWER)
        between = longer.split(ANSWER)[1].split(NEXT)[0]
    except Exception:  # templates are programs, and end in whatever their authors raise
        return None
    bos = tokenizer.bos_token
    header = asked.removeprefix(bare).strip() if asked.startswith(bare) else ""
    beyond = before.removeprefix(asked.rstrip()).strip() if before.startswith(asked.rstrip()) else ""
    forgotten = "" if header else beyond
    user = between.removeprefix(tail).strip() if between.startswith(tail) else ""
    if bos and bos not in header + forgotten:
        user = user.removeprefix(bos).strip()
    ids = tokenizer(tail.lstrip(), add_special_tokens=False)["input_ids"]
    end_id = ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None
    return ChatMarks(user, header or forgotten, tail.strip(), end_id, forgotten, bool(bos) and longer.count(bos) > 1)


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """The ids at which a model is done, whatever it was asked: the end of a sequence, of a chat's turn, and of a solution in
    marked blocks, as far as the tokenizer has them."""
    marks = chat_marks(tokenizer)
    found = (tokenizer.eos_token_id, marks.end_id if marks else None, tokenizer.get_vocab().get(MESSAGE_END))
    return tuple(dict.fromkeys(id for id in found if id is not None))


class Prompter:
    """A tokenizer with the form of a prompt: the one way from a question to what the model sees.

    template: the prompt, or with `chat` what the user says, with {question} in it. Raises ModelError for a form that the
    tokenizer cannot serve, and for one that doubles a mark or lacks one.
    """

    def __init__(self, tokenizer: Any, template: str = "{question}\n", chat: Chat | None = None) -> None:
        self.tokenizer, self.template, self.chat = tokenizer, template, chat
        if PLACE not in template:
            raise ModelError(f'prompt template has no "{PLACE}"; put it where the question belongs')
        self.marks = chat_marks(tokenizer, chat.options if chat else None)
        own = [self.marks] if self.marks else []
        self.known = own if chat is not None else own + written_marks(template)
        if chat is not None:
            self._refuse_bad_chat(chat)
        self._refuse_doubled()

    @property
    def end_id(self) -> int:
        """The id that ends an answer: in a chat what its template writes after one, else the end of a sequence."""
        chat_end = self.marks.end_id if self.chat is not None and self.marks else None
        return self.tokenizer.eos_token_id if chat_end is None else chat_end

    def text(self, question: str) -> str:
        """What the tokenizer is given. Raises ModelError where a chat template does not take the message."""
        if self.chat is None:
            return self.template.replace(PLACE, question)
        message = self.template.replace(PLACE, question).strip()
        said = [("system", self.chat.system)] * bool(self.chat.system) + [("user", message)]
        try:
            return _rendered(self.tokenizer, said, self.chat.options) + self.chat.answer_start
        except Exception as error:  # see chat_marks
            cure = "leave prompt.system empty and say it in prompt.template" if self.chat.system else PLAIN
            raise ModelError(f"the chat template refuses the prompt ({first_line(error)}); {cure}") from error

    def ids(self, question: str) -> tuple[int, ...]:
        """What the model sees, with whatever the tokenizer puts before a text, where the text does not begin with that."""
        text = self.text(question)
        is_whole = self.chat is not None and self.tokenizer.bos_token and text.startswith(self.tokenizer.bos_token)
        ids = self.tokenizer(text, add_special_tokens=not is_whole)["input_ids"]
        return tuple(ids[:-1] if ids and ids[-1] == self.tokenizer.eos_token_id else ids)

    def refuse_wrapped(self, problems: Iterable[Problem]) -> None:
        """Raises ModelError for the first problem whose question already has the marks that the prompt puts around it."""
        marks = [mark for known in self.known for mark in known.texts]
        ours = marks if self.chat is not None else [mark for mark in marks if mark in self.template]
        for problem in problems:
            found = next((mark for mark in ours if mark in problem.question), None)
            if found:
                cure = "take the marks out of the questions" + (f", or {PLAIN}" if self.chat is not None else "")
                raise ModelError(f'problem {problem.id}: its question already holds "{found}", which the prompt writes; {cure}')

    def _refuse_bad_chat(self, chat: Chat) -> None:
        """What a chat template cannot do, or would do twice."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise ModelError(f"prompt.chat = true and the tokenizer has no chat template; {PLAIN}")
        doubled = next((mark for mark in (self.marks.texts if self.marks else ()) if mark in self.template), None)
        if doubled:
            raise ModelError(f'prompt.template holds "{doubled}", which the chat template writes too; take it out, or {PLAIN}')
        text = self.text(QUESTION)
        if text.count(QUESTION) != 1:
            raise ModelError(f"the chat template does not give the user's message as it is; {PLAIN}")
        if chat.system.strip() not in text:
            raise ModelError("the chat template drops the system message; leave prompt.system empty, say it in prompt.template")
        header = self.marks.forgotten if self.marks else ""
        if header and not chat.answer_start.lstrip().startswith(header):
            cure = f"begin prompt.answer_start with {header + chr(10)!r}"
            raise ModelError(f'the chat template ends the prompt without "{header}", which it writes before an answer; {cure}')

    def _refuse_doubled(self) -> None:
        """A beginning-of-sequence token, or a header, twice; a user's header without one for the answer."""
        text, bos = self.text(QUESTION), self.tokenizer.bos_token_id
        for header in (header for known in self.known for header in known.headers):
            if re.search(rf"{re.escape(header)}\s*{re.escape(header)}", text):
                raise ModelError(f'the prompt has "{header}" twice in a row; take one out of [prompt]')
        for known in self.known if self.chat is None else ():
            head, _, behind = self.template.rpartition(PLACE)
            if (known.user, known.assistant) == PROSE or not (known.user and known.assistant):
                continue
            if known.user in head and known.assistant not in behind:
                cure = f'write "{known.assistant}" after the question'
                raise ModelError(f'prompt.template has "{known.user}" and no header for the answer; {cure}')
        ids = self.ids(QUESTION)
        repeats = self.marks is not None and self.marks.repeats_bos
        if bos is not None and (ids[:2] == (bos, bos) or (ids.count(bos) > 1 and not repeats)):
            shown = self.tokenizer.bos_token
            adds = self.tokenizer(QUESTION)["input_ids"][:1] == [bos]
            cure = f"the tokenizer puts it in front by itself: take {shown} out of" if adds else f"leave one {shown} in"
            raise ModelError(f"the prompt begins its sequence twice ({shown}); {cure} [prompt]")


PLAIN = "set prompt.chat = false and write the turns' headers into prompt.template"


def _rendered(tokenizer: Any, said: list[tuple[str, str]], options: Mapping[str, Any] | None = None, asks: bool = True) -> str:
    """Messages (role, text) as the chat template writes them; asks: with the header of the answer."""
    messages = [{"role": role, "content": text} for role, text in said]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks, **(options or {}))
    assert isinstance(rendered, str)
    return rendered
