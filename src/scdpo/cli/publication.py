"""What a run gives to the hub: repositories with their files, and the cards. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from scdpo import __version__
from scdpo.cli.export_pairs import Exported, name_of, run_facts, run_trees
from scdpo.errors import RunError
from scdpo.exchange.exporting import write_export
from scdpo.exchange.tree_file import tree_lines
from scdpo.problems.records import hub_name
from scdpo.problems.settings import each_source
from scdpo.problems.source import GENERATORS, locate, set_labels
from scdpo.report.model_card import HeldOut, Published, model_card
from scdpo.run.directory import RunDirectory
from scdpo.run.pins import model_on_hub
from scdpo.run.prompts import prompt_of
from scdpo.run.recipe import flat_fields
from scdpo.sampling.arms import ARMS, Arm
from scdpo.training.adapters import is_adapter
from scdpo.training.model_files import load_model, load_tokenizer, save_model
from scdpo.training.packaged_models import HUB_NAMES

EVIDENCE = ("results.json", "recipe.toml", "manifest.json")
REPORT = ("report.md", *EVIDENCE)
PAGE_CARD = """---
title: {title}
sdk: static
app_file: index.html
pinned: false
tags: [scdpo, step-controlled-dpo]
{models}---

# {title}

The page of a run of scdpo (Step-Controlled DPO, arXiv 2407.00782): `index.html`. The same as text: `report.md`; its numbers:
`results.json`; figures and tables for papers: `figures/`, `tables/`.
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """A repository's files by their path there. kind: model, dataset or space."""

    name: str
    kind: str
    files: Mapping[str, Path | bytes]

    @property
    def called(self) -> str:
        return f"{self.name} ({'data set' if self.kind == 'dataset' else self.kind})"

    @property
    def sizes(self) -> dict[str, int]:
        return {path: len(each) if isinstance(each, bytes) else each.stat().st_size for path, each in self.files.items()}


def publication(run: RunDirectory, model: str, to: str, what: Collection[str], made: str | Path) -> list[Upload]:
    """What is to be uploaded, the data first, so that the model's card names what is there. made: a folder for what is written.

    Raises RunError where the run has no such model, or has not come to its results.
    """
    first = run.round(1)
    there = [name for name in first.models if first.model(name).is_dir()]
    if model not in there:
        raise RunError(f'{run.path} has no model "{model}"; there are: {", ".join(there) or "none yet"}')
    if not (run.path / "results.json").is_file():
        raise RunError(f"{run.path} has no results yet; run: scdpo run --out {run.path}, or scdpo report {run.path}")
    results = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    data, page = (f"{to}-{end}" if part in what else "" for part, end in (("data", "pairs"), ("page", "page")))
    uploads = []
    if data:
        uploads.append(data_files(run, model, data, Path(made)))
    if page:
        uploads.append(page_files(run, page, to if "model" in what else ""))
    if "model" in what:
        card = model_card(published(run, model, to, data, page), results, made_how(run, model))
        uploads.append(model_files(run, model, to, card, Path(made)))
    return uploads


def model_files(run: RunDirectory, model: str, to: str, card: str, made: Path) -> Upload:
    """The model, whole: adapters are merged into their base first, which lies in the run and not on the hub."""
    folder = run.round(1).model(model)
    if is_adapter(folder):
        remote = run.recipe.model.trust_remote_code
        whole = made / "model"
        save_model(load_model(folder, trust_remote_code=remote), load_tokenizer(folder, remote), whole, card)
        folder = whole
    files = files_of(folder) | {name: run.path / name for name in EVIDENCE} | {"README.md": card.encode()}
    return Upload(to, "model", files)


def data_files(run: RunDirectory, model: str, name: str, made: Path) -> Upload:
    """The pairs that the model was trained on, of models without pairs those of scdpo, and the trees that they come from."""
    arm: Arm = next((each for each in ARMS if each == model and each in get_args(Exported)), "scdpo")
    trees = run_trees(run, arm)
    facts = {"scdpo": __version__, **run_facts(run, arm), "trees": "trees.jsonl, with token ids, for sampling.trees"}
    texts = {"recipe.toml": run.recipe.to_toml(), "trees.jsonl": "".join(tree_lines(trees))}
    folder = made / "pairs"
    write_export(folder, "parquet", trees, prompt_of(run.recipe), facts, texts, name)
    return Upload(name, "dataset", files_of(folder))


def page_files(run: RunDirectory, name: str, model: str) -> Upload:
    """The page as a static Space, which shows it."""
    models = f"models: [{model}]\n" if model else ""
    card = PAGE_CARD.format(title=name.partition("/")[2], models=models)
    files: dict[str, Path | bytes] = {each: run.path / each for each in REPORT}
    for folder in ("figures", "tables"):
        files |= {f"{folder}/{path}": file for path, file in files_of(run.path / folder).items()}
    return Upload(name, "space", {"index.html": run.path / "report.html", **files, "README.md": card.encode()})


def files_of(folder: Path) -> dict[str, Path | bytes]:
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


def published(run: RunDirectory, model: str, to: str, data: str, page: str) -> Published:
    """What the model's card is of."""
    problems = run.recipe.problems
    asked = model_on_hub(run.recipe)
    base = HUB_NAMES.get(run.recipe.model.path) or (asked.name if asked else None)
    sources = (*each_source(problems.source), *each_source(problems.sft_source))
    trained_on = [name for name, _, _ in map(data_set, sources) if name]
    tested = each_source(problems.test_source) or each_source(problems.source)
    tested_on = {}
    for label, source in zip(set_labels(tested), tested, strict=True):
        name, revision, title = data_set(source)
        tested_on[label] = HeldOut(title, name or title, revision)
    language = next((problem.language for problem in run.evaluation_problems), None)
    return Published(
        name=to,
        model=model,
        base=base,
        trained_on=list(dict.fromkeys(trained_on)),
        tested_on=tested_on,
        language=language,
        data=data,
        page=page,
    )


def data_set(source: str) -> tuple[str | None, str | None, str]:
    """(name on the hub, commit, what people call it) of a source; the first two None for what is not from there."""
    if source in GENERATORS:
        return None, None, source
    name, known, place = locate(source)
    asked = hub_name(place, known)
    title = known.title if name != "jsonl" else name_of(asked.name if asked else place)
    return (asked.name, asked.revision, title) if asked else (known.hub, None, title)


def made_how(run: RunDirectory, model: str) -> dict[str, Any]:
    """How the model was made, for its card."""
    recipe, manifest = run.recipe, run.manifest()
    pairs = manifest.get("counts", {}).get("pairs", {}).get(model, {})
    packages = manifest.get("packages", {})
    return {
        **run_facts(run, model),
        "pairs": ", ".join(f"{count:,} {kind.replace('_', '-')}" for kind, count in pairs.items()) or "none",
        "preset": recipe.run.preset or "none",
        "prompt": f"`{json.dumps(prompt_of(run.recipe), ensure_ascii=False)}`",
        "fingerprint": manifest.get("fingerprints", {}).get(model, "unknown"),
        "commits": ", ".join(f"{name} {commit}" for name, commit in manifest.get("revisions", {}).items()) or "none of the hub",
        "versions": ", ".join(f"{name} {packages[name]}" for name in ("scdpo", "torch", "transformers") if name in packages),
    }


def machine_paths(run: RunDirectory) -> dict[str, str]:
    """The fields of the recipe that name places of this machine, which is told whoever reads it."""
    fields = {path: str(value) for path, value in flat_fields(run.recipe).items()}
    return {path: value for path, value in fields.items() if value.partition(":")[2].startswith("/") or value[:1] in ("/", "~")}
