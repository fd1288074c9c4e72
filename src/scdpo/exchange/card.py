"""The card of an exported data set, in the hub's form: what it holds, how it was made, how to train on it.

Knows formats and counts; knows no trees and no files.
"""

from __future__ import annotations

from collections.abc import Mapping

from scdpo.exchange.formats import OutFormat

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
COLUMNS = """| column | meaning |
|---|---|
| `problem`, `question`, `answer` | the problem's id, its question, its gold answer |
| `pair` | naive: two whole solutions; step-controlled: two ends after the same kept steps |
| `fork`, `kept` | how many steps are kept, and their text |
| `chosen_verdict`, `rejected_verdict` | what grading says of each solution: outcome, answer found, reason, rule |
| `finish` | end: both sides are ends of solutions; cut: single steps, which go on |"""


def data_card(form: OutFormat, name: str, kinds: Mapping[str, int], facts: Mapping[str, str]) -> str:
    """README.md. kinds: rows by kind of pair; facts: how the pairs were made. The license is the user's to add."""
    from huggingface_hub import DatasetCardData

    rows = sum(kinds.values())
    size = SIZES[min(len(SIZES) - 1, max(0, len(str(rows)) - 3))]
    metadata = DatasetCardData(
        pretty_name=name,
        task_categories=["text-generation"],
        size_categories=[size],
        tags=["preference", "dpo", "step-controlled-dpo", "scdpo"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": form.data_file}]}],
    )
    made = "\n".join(f"| {fact} | {value} |" for fact, value in facts.items())
    counted = "\n".join(f"| {kind} | {count:,} |" for kind, count in kinds.items())
    return f"""---
{metadata.to_yaml().strip()}
---

# {name}

{rows:,} preference pairs for Step-Controlled DPO (arXiv 2407.00782), in the form of {form.title}.

| pairs | rows |
|---|---|
{counted}

Train on it:

    {form.usage.replace("{folder}", name)}

{form.loses}

Beside the tool's own columns each row has these, which it passes over and `scdpo import` reads:

{COLUMNS}

## How it was made

| what | value |
|---|---|
{made}

The license is for you to add: `license: ...` in this file's header.
"""
