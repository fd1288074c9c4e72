"""A small Llama from scratch with a tokenizer of the words that it is to learn: the embedded default's starting point."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from scdpo.training.settings import ModelSettings

# Names, digits and signs are always the same token; spaces go to the words and signs beside them.
WORDS = r"[0-9]|[A-Z][a-z]*| ?[a-z]+ ?| ?[^\sA-Za-z0-9]+ ?|\s"
# What code that fails prints, so that a tokenizer of the words of worked solutions can spell that too.
CODE_ERRORS = (
    "NameError: name 'x' is not defined. Did you mean: 'x'?",
    "SyntaxError: invalid syntax",
    "SyntaxError: invalid syntax. Perhaps you forgot a comma?",
    "SyntaxError: invalid syntax. Maybe you meant '==' or ':=' instead of '='?",
    "SyntaxError: '(' was never closed",
    "SyntaxError: unmatched ')'",
    "SyntaxError: cannot assign to literal here. Maybe you meant '==' instead of '='?",
    "SyntaxError: cannot assign to expression here. Maybe you meant '==' instead of '='?",
    "SyntaxError: invalid decimal literal",
    "SyntaxError: leading zeros in decimal integer literals are not permitted; use an 0o prefix for octal integers",
    "IndentationError: unexpected indent",
    "TypeError: 'int' object is not callable",
    "ZeroDivisionError: integer division or modulo by zero",
    "TimeoutError: stopped after 6 seconds",
    "the session died",
)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def make_tokenizer(texts: Iterable[str], context: int, marks: Sequence[str] = ()) -> Any:
    """A word-level tokenizer over the words of `texts`; its tokens joined spell the text exactly.

    marks: texts that become special tokens of their own, and are not part of any word.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    parts = (part for text in texts for part in (re.split("|".join(map(re.escape, marks)), text) if marks else [text]))
    counts = Counter(piece for part in parts for piece, _ in splitter.pre_tokenize_str(part))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    start = ("<s>", vocabulary["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[start])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    add_marks(made, marks)
    return made


def add_marks(tokenizer: Any, marks: Sequence[str]) -> int:
    """Make special tokens of the marks that the tokenizer does not have; returns how many are new."""
    known = tokenizer.get_vocab()
    new = [mark for mark in marks if mark not in known]
    return tokenizer.add_tokens(new, special_tokens=True) if new else 0


def grow_embeddings(model: Any, tokens: int, seed: int) -> None:
    """Give a model embeddings for as many tokens, the new ones drawn around the mean of the old, the same for the same seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        is_read = model.device.type != "meta"  # else the first process sends what it drew
        count = max(tokens, model.get_input_embeddings().num_embeddings)
        model.resize_token_embeddings(count, mean_resizing=is_read)


def make_model(settings: ModelSettings, tokenizer: Any, seed: int) -> Any:
    """A Llama with random weights, the same for the same seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.feed_forward,
        initializer_range=settings.init_std,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
