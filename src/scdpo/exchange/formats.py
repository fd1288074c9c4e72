"""The formats: what can be imported, and what trees can be exported as. Two plain mappings; knows no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scdpo.exchange import authors, llama_factory, ms_swift, step_dpo, trl
from scdpo.exchange.pair import TextPair


@dataclass(frozen=True, slots=True)
class InFormat:
    """recognises: by a record's fields; read: raises NotImportable; code: the code format that its solutions are in."""

    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], TextPair]
    code: str = ""


@dataclass(frozen=True, slots=True)
class OutFormat:
    """title: the tool's name; row: of a pair and its prompt; usage: how to train on it, {folder} being the folder; loses: what
    the tool makes otherwise than we do; data_file: in the folder; beside: further files by name, of the data file's name."""

    title: str
    row: Callable[[TextPair, str], dict[str, Any]]
    usage: str
    loses: str
    data_file: str = "train.jsonl"
    beside: Mapping[str, Callable[[str], str]] | None = None


IN_FORMATS: dict[str, InFormat] = {
    "step-dpo": InFormat(step_dpo.recognises, step_dpo.read),
    "authors": InFormat(authors.recognises, authors.read, code="blocks"),
    "ms-swift": InFormat(ms_swift.recognises, ms_swift.read),
    "llama-factory": InFormat(llama_factory.recognises, llama_factory.read),
    "trl": InFormat(trl.recognises, trl.read),
}
"""In the order of asking: what a later one recognises, an earlier one may know better."""

APART = "Prompt and answer are tokenized separately."
OUT_FORMATS: dict[str, OutFormat] = {
    "trl": OutFormat(
        "TRL",
        trl.row,
        'DPOTrainer(model=model, args=DPOConfig(max_length=None), train_dataset=load_dataset("{folder}", split="train"), '
        "processing_class=tokenizer).train()",
        "TRL makes prompt + answer into tokens together and takes off what they share; it closes each answer with the "
        "tokenizer's end token. Its max_length cuts what is longer: set it to None, or to the model's context.",
    ),
    "trl-chat": OutFormat(
        "TRL, with the model's chat template",
        trl.chat_row,
        'DPOTrainer(model=model, args=DPOConfig(max_length=None), train_dataset=load_dataset("{folder}", split="train"), '
        "processing_class=tokenizer).train()",
        "The kept steps stand in both answers: a chat template closes every turn, so a beginning of the answer has no place in "
        "the prompt. The sigmoid loss cancels them; losses by length do not.",
    ),
    "llama-factory": OutFormat(
        "LLaMA-Factory",
        llama_factory.row,
        f"llamafactory-cli train --stage dpo --do_train --dataset_dir {{folder}} --dataset {llama_factory.NAME} "
        "--template empty --model_name_or_path MODEL --output_dir OUT",
        f"{APART} The template `empty` puts nothing around the question and no end token after the answer; cutoff_len cuts.",
        beside={"dataset_info.json": llama_factory.dataset_info},
    ),
    "openrlhf": OutFormat(
        "OpenRLHF",
        trl.row,
        "python -m openrlhf.cli.train_dpo --dataset {folder} --prompt_key prompt --chosen_key chosen --rejected_key rejected "
        "--pretrain MODEL --save_path OUT",
        "Without --apply_chat_template the texts are taken as they are, but for line ends at the very end; a space goes before "
        "the end token, no begin-of-sequence token is added, and max_len cuts.",
    ),
    "ms-swift": OutFormat(
        "ms-swift",
        ms_swift.row,
        "swift rlhf --rlhf_type dpo --dataset {folder}/train.jsonl --template dummy --model MODEL --output_dir OUT",
        f"{APART} The template `dummy` puts nothing around the question.",
    ),
    "parquet": OutFormat(
        "datasets, in TRL's columns",
        trl.row,
        'load_dataset("{folder}", split="train"), then as for TRL',
        "Texts, not the token ids that were sampled.",
        data_file="data/train-00000-of-00001.parquet",
    ),
}
