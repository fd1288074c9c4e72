"""The card of a published model, in the hub's form: what it is, what came out, how it was made.

Knows results.json and facts as texts; knows no run, no files and no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scdpo.report.result import LABELS, READING

ABOUT = "Step-Controlled DPO ([arXiv 2407.00782](https://arxiv.org/abs/2407.00782))"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The problems that the accuracies are of. title: as people call it; name: on the hub, or the generator's."""

    title: str
    name: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What a card is of. name: OWNER/NAME; base, trained_on: names on the hub, where there are any; tested_on: by what the
    test sets are called in results.json; data, page: where pairs and page were published with it, "" where they were not.
    """

    name: str
    model: str
    base: str | None
    trained_on: Sequence[str]
    tested_on: Mapping[str, HeldOut]
    language: str | None
    data: str = ""
    page: str = ""


def model_card(of: Published, results: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """README.md. results: results.json; made: how the model was made, by name. The license is the user's to add."""
    from huggingface_hub import EvalResult, ModelCardData, constants

    split = results["split"]
    by_set = results.get("sets") or {" and ".join(of.tested_on): results}
    tested_on = {label: of.tested_on.get(label, HeldOut(label, label)) for label in by_set}
    tested = [
        EvalResult(
            task_type="text-generation",
            task_name="Mathematical reasoning",
            dataset_type=on.name,
            dataset_name=on.title,
            dataset_split=split,
            dataset_revision=on.revision,
            metric_type="accuracy",
            metric_name="accuracy, greedy",
            metric_value=by_set[label]["models"][of.model]["accuracy"],
            metric_args={name: by_set[label]["models"][of.model][name] for name in ("ci95", "n")},
        )
        for label, on in tested_on.items()
    ]
    header = ModelCardData(
        base_model=of.base,
        datasets=[*of.trained_on, *([of.data] if of.data else [])] or None,
        language=of.language,
        library_name="transformers",
        pipeline_tag="text-generation",
        metrics=["accuracy"],
        tags=["scdpo", "step-controlled-dpo", "math"],
        model_name=of.name,
        eval_results=tested,
    )
    links = {"Its preference pairs": of.data and f"datasets/{of.data}", "The run's page": of.page and f"spaces/{of.page}"}
    shown = "\n\n".join(
        f"{what}: [{place}]({constants.HUGGINGFACE_CO_URL_HOME}{place})" for what, place in links.items() if place
    )
    came_out = "\n\n".join(figures(of.model, f"{on.title} ({split})", by_set[label]) for label, on in tested_on.items())
    return f"""---
{header.to_yaml().strip()}
---

# {of.name}

The model {LABELS.get(of.model, of.model)} of a run of scdpo: {ABOUT}.

{shown}

## What came out

{came_out}

{READING}

## How to use it

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("{of.name}")
    model = AutoModelForCausalLM.from_pretrained("{of.name}")

It was trained on prompts in the form below, and on no other.

## How it was made

| what | value |
|---|---|
{rows(made)}

`recipe.toml` beside this file makes the run again: `scdpo run recipe.toml`. `results.json` has all the numbers.

The license is for you to add: `license: ...` in this file's header.
"""


def figures(model: str, problems: str, results: Mapping[str, Any]) -> str:
    """What came out on a test set. problems: what it is called."""
    shown = (accuracies(results["models"]), differences(results["differences"], model))
    return "\n\n".join([f"Greedy answers to problems of {problems}; 95% intervals.", *(each for each in shown if each)])


def accuracies(models: Mapping[str, Any]) -> str:
    lines = (
        f"| {LABELS.get(name, name)} | {percent(each['accuracy'])} | {interval(each['ci95'])} | {each['n']:,} |"
        for name, each in models.items()
    )
    return "\n".join(["| model | accuracy % | interval | problems |", "|---|---|---|---|", *lines])


def differences(paired: Mapping[str, Any], model: str) -> str:
    """Those of the model to others, in points."""
    lines = []
    for name, each in paired.items():
        first, _, second = name.partition(" - ")
        if first == model:
            told = "" if each["resolved"] else "not resolved"
            value = f"{100 * each['difference']:+.1f} | [{', '.join(f'{100 * end:+.1f}' for end in each['ci95'])}]"
            lines.append(f"| {LABELS.get(first, first)} - {LABELS.get(second, second)} | {value} | {told} |")
    return "\n".join(["| difference | points | interval | |", "|---|---|---|---|", *lines]) if lines else ""


def rows(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in facts.items())


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(ends: Sequence[float]) -> str:
    return f"[{', '.join(percent(end) for end in ends)}]"
