"""Tiny random models of a published architecture, and tokenizers of a published kind: what a recipe is tried out with.

What makes a model class what it is stays: the share of key and value heads, window, ties, rotations, biases, norms. Sizes go.
Knows configs, texts and no recipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from scdpo.errors import ModelError
from scdpo.training.configs import find_config
from scdpo.training.known_configs import TOKENIZERS, TokenizerKind
from scdpo.training.model_files import load_tokenizer

STAND_INS = {"internlm2": "llama"}
"""Model types that transformers has no class for, and the class that they are but for names and the packing of weights: the
InternLM team's own convert2llama.py turns InternLM2's weights into Llama's."""
HEAD_WIDTH, LAYERS, MOST_EXPERTS = 8, 2, 4
MOST_GROUP = 8
"""The most query heads to a key and value head."""
LONGEST_WORD = 12
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The turns of a chat as Qwen's models have them."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is known of a model: its config's fields and the kind of its tokenizer."""

    config: Mapping[str, Any]
    tokenizer: TokenizerKind

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])


def find_architecture(path: str) -> Architecture | None:
    """The architecture of a model by its folder, file, package or hub name, without asking the network; None where nothing is
    there and nothing is known. Raises ModelError for files that cannot be read."""
    found = find_config(path)
    if found is None:
        return None
    kind = _own_tokenizer(found.folder) if found.folder else None
    return Architecture(found.fields, kind or TOKENIZERS.get(found.fields["model_type"], "byte-level"))


def _own_tokenizer(folder: Path) -> TokenizerKind | None:
    try:
        model = json.loads(load_tokenizer(folder).backend_tokenizer.to_str())["model"]
    except (ModelError, AttributeError):  # a tokenizer without that backend is of neither kind
        return None
    return "sentencepiece" if model.get("byte_fallback") else "byte-level"


def shrunk(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's fields with tiny sizes instead of its own."""
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    each = min(MOST_GROUP, max(1, heads // groups))
    few = min(groups, max(2, MOST_GROUP // each))
    width = few * each * HEAD_WIDTH
    sizes = {
        "hidden_size": width,
        "intermediate_size": max(8, round(width * config["intermediate_size"] / config["hidden_size"] / 8) * 8),
        "num_hidden_layers": LAYERS,
        "num_attention_heads": few * each,
        "num_key_value_heads": few,
    }
    sizes |= {"head_dim": HEAD_WIDTH} if config.get("head_dim") else {}
    sizes |= {"layer_types": config["layer_types"][-LAYERS:]} if config.get("layer_types") else {}
    experts = [name for name in ("num_local_experts", "num_experts") if config.get(name)]
    sizes |= {name: min(MOST_EXPERTS, config[name]) for name in experts}
    return {**config, **sizes}


def tiny_model(config: Mapping[str, Any], tokenizer: Any, seed: int) -> Any:
    """A random model of the config's class over the tokenizer's vocabulary, the same for the same seed."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    fields = {**shrunk(config), **ids, "vocab_size": len(tokenizer), "dtype": "float32"}
    model_type = fields.pop("model_type")
    for name in ("architectures", "auto_map", "quantization_config", "torch_dtype", "transformers_version", "_name_or_path"):
        fields.pop(name, None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = AutoConfig.for_model(STAND_INS.get(model_type, model_type), **fields)
        return AutoModelForCausalLM.from_config(made, attn_implementation="sdpa", dtype=torch.float32)


def tiny_tokenizer(kind: TokenizerKind, texts: Sequence[str], marks: Sequence[str], vocabulary: int, chat: bool) -> Any:
    """A BPE tokenizer of a kind, trained on the texts, in the class that the kind's models have.

    sentencepiece: words begin with a metaspace, single digits, unknown characters as bytes, begin-of-sequence in front;
    byte-level: no begin-of-sequence, ends like a chat's turn where chat is set. marks: texts that become special tokens.
    """
    is_bytes = kind == "byte-level"
    made = _byte_level(texts, marks, vocabulary, chat) if is_bytes else _sentencepiece(texts, marks, vocabulary)
    made.add_tokens([mark for mark in marks if mark not in made.get_vocab()], special_tokens=True)
    if chat:
        made.chat_template = CHATML
    return made


def _sentencepiece(texts: Iterable[str], marks: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Regex, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import LlamaTokenizer

    lines = (line for part in without(marks, texts) for line in part.split("\n"))  # a line end is a byte, as in SentencePiece
    words = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Split(Regex(r"[0-9]"), "isolated")]
    )
    learned, merges = train_bpe(lines, vocabulary, words, normalizers.Sequence([]))
    tokens = dict.fromkeys(("<unk>", "<s>", "</s>", *BYTES, *learned))
    made = LlamaTokenizer(vocab={token: id for id, token in enumerate(tokens)}, merges=merges, pad_token="</s>")
    start = ("<s>", made.bos_token_id)
    made.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[start])
    return made


def _byte_level(texts: Iterable[str], marks: Sequence[str], vocabulary: int, chat: bool) -> Any:
    from tokenizers import normalizers, pre_tokenizers
    from transformers import Qwen2Tokenizer

    empty = Qwen2Tokenizer()
    learned, merges = train_bpe(
        without(marks, texts),
        vocabulary,
        empty.backend_tokenizer.pre_tokenizer,
        normalizers.NFC(),
        pre_tokenizers.ByteLevel.alphabet(),
    )
    tokens = dict.fromkeys((*learned, "<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    vocab = {token: id for id, token in enumerate(tokens)}
    made = Qwen2Tokenizer(vocab=vocab, merges=cast(Any, merges), eos_token="<|im_end|>" if chat else "<|endoftext|>")
    made.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    return made


def without(marks: Sequence[str], texts: Iterable[str]) -> Iterable[str]:
    """The texts in parts, the marks between them left out."""
    between = re.compile("|".join(map(re.escape, marks))) if marks else None
    return (part for text in texts for part in (between.split(text) if between else [text]))


def train_bpe(
    texts: Iterable[str], vocabulary: int, words: Any, normalizer: Any, alphabet: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, str]]]:
    """(tokens, merges) of a byte-pair encoding of `vocabulary` tokens and those of the alphabet; words: a pre-tokenizer."""
    from tokenizers import Tokenizer, models, trainers

    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = normalizer, words
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary + len(alphabet),
        initial_alphabet=list(alphabet),
        max_token_length=LONGEST_WORD,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(merge) for merge in model["merges"]]
