"""A small Llama from scratch with a tokenizer of the words that it is to learn: the embedded default's starting point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from scdpo.training.settings import ModelSettings

# Names, digits and signs are always the same token; spaces go to the words and signs beside them.
WORDS = r"[0-9]|[A-Z][a-z]*| ?[a-z]+ ?| ?[^\sA-Za-z0-9]+ ?|\s"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def make_tokenizer(texts: Iterable[str], context: int) -> Any:
    """A word-level tokenizer over the words of `texts`; its tokens joined spell the text exactly."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    counts = Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    start = ("<s>", vocabulary["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[start])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


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
