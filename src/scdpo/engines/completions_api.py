"""What is said to a completions server and what it says: bodies of requests, and token ids read from answers.

Servers give generated ids in three spellings: vLLM's `token_ids`, its older "token_id:123" among the log-probs, and llama.cpp's
`logprobs.content[].id`. Text is never read: ids made from it would not be those that were generated. Knows no network.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from scdpo.engines.pieces import Answer, Piece
from scdpo.errors import ModelError

LOG = logging.getLogger(__name__)
SPELLING = "token_id:"
SEEDS = 2**31
"""Servers take seeds of 31 bits at least: llama.cpp's have 32, and the highest means none."""
NO_IDS = (
    "the server answers without the ids of the tokens that it generated, and ids made from text would be others; "
    "use one that gives them: vLLM (0.10.2 or later), or llama.cpp's"
)


def request_body(piece: Piece, model: str, send_seed: bool) -> dict[str, Any]:
    """The JSON that asks for a piece.

    What is off by default elsewhere is sent too: vLLM applies the generation config of the model's folder, and llama.cpp has
    top-k and min-p of its own. Servers that know a field by another name pass over it.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": list(piece.ids),
        "max_tokens": piece.max_new_tokens,
        "temperature": piece.temperature,
        "top_p": piece.top_p,
        "top_k": -1,  # none, for vLLM of any age and for llama.cpp; 0 was refused by vLLM once
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop_token_ids": sorted(piece.stop_ids),
        "skip_special_tokens": False,
        "logprobs": 1,  # 0 is none for llama.cpp
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    if send_seed and piece.temperature > 0:
        body["seed"] = piece.seed % SEEDS
    return body


def read_answer(reply: Any, piece: Piece, end_ids: Collection[int]) -> Answer:
    """What a server generated. Raises ModelError where it gives no ids, or no completion at all.

    Where ids are missing among others (llama.cpp leaves out those of a character that several tokens spell), nothing after them
    can be trusted: the answer is then empty and ends by length, so that the solution counts as undecided.
    """
    try:
        choice = reply["choices"][0]
        finish = choice["finish_reason"]
    except (KeyError, IndexError, TypeError):
        raise ModelError(f"the server answers with something else than a completion: {str(reply)[:200]}") from None
    ids, log_probs = _generated(choice)
    generated = (reply.get("usage") or {}).get("completion_tokens")
    shows_end = bool(ids) and (ids[-1] in end_ids or ids[-1] in piece.stop_ids)
    missing = 0 if generated is None else generated - len(ids)
    hides_end = finish == "stop" and not shows_end and (missing == 1 or generated is None or not ids)
    if missing > 0 and not hides_end:
        LOG.warning("a server gave %d ids for %d tokens; this solution counts as cut by length", len(ids), generated)
        return Answer((), (), "length")
    return Answer(ids, log_probs, "end" if hides_end else "stop" if finish == "stop" else "length")


def _generated(choice: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The ids of a choice and their log-probs. Raises ModelError."""
    listed = choice.get("logprobs") or {}
    content = listed.get("content")
    if content is not None:
        if not all("id" in token for token in content):
            raise ModelError(NO_IDS)
        return tuple(token["id"] for token in content), tuple(token["logprob"] for token in content)
    log_probs = tuple(0.0 if value is None else value for value in listed.get("token_logprobs") or ())
    ids = choice.get("token_ids")
    if ids is None:
        tokens = listed.get("tokens")
        if tokens is None or not all(token.startswith(SPELLING) for token in tokens):
            raise ModelError(NO_IDS)
        ids = [int(token.removeprefix(SPELLING)) for token in tokens]
    if len(log_probs) != len(ids):
        raise ModelError(f"the server answers with {len(log_probs)} log-probs for {len(ids)} ids; it must allow logprobs = 1")
    return tuple(ids), log_probs
