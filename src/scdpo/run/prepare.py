"""A recipe becomes a run: new, out of another one, or as it is there. Before anything is spent.

Knows the recipe, the run's directory and, as records, its stages.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scdpo.errors import RunError, users_file
from scdpo.exchange.tree_file import tree_lines
from scdpo.files import whole, write_whole
from scdpo.problems.jsonl import problem_lines
from scdpo.problems.settings import each_source
from scdpo.problems.source import SPLITS, prompt_template
from scdpo.run.checks.check import check_recipe, refuse
from scdpo.run.directory import SCHEMA, RunDirectory
from scdpo.run.fingerprint import MadeFrom, fields_of, model_digest
from scdpo.run.material import Material, read_material
from scdpo.run.pins import keep, resolve
from scdpo.run.precisions import described, keep_precisions, settle_precisions
from scdpo.run.recipe import Recipe, build_recipe, load_recipe
from scdpo.run.stage import Output, Stage, all_turns, stale
from scdpo.run.stages import STAGES

STAND_IN = "stand-in"
"""Where a smoke's model and problems lie: they are there before their run begins (see smoke)."""
OF_PROBLEMS = ("problems", "sampling.trees")
"""The fields that the problems of a run are made from."""


def prepare(
    path: str | Path,
    recipe: str | None,
    overrides: Mapping[str, str],
    source: str | Path | None = None,
    remake: bool = False,
    tell: Callable[[str], None] = lambda finding: None,
) -> RunDirectory:
    """The run at `path`: the existing one as it is asked for now, else a new one in an empty folder.

    recipe: a name or path; None: that of the existing run, else of `source`, else quickstart. source: another run, from which
    all is taken over that would be made the same. remake: see as_asked. tell: hears what the checks of a
    new run find and do not refuse (see checks).
    Raises RunError where the folder holds something else, or what was made otherwise.
    """
    folder = Path(path).expanduser()
    other = RunDirectory.open(source) if source is not None else None
    if other is not None and other.path.resolve() == folder.resolve():
        raise RunError(f"--from names the run itself, {folder}; name another folder with --out")
    if (folder / "recipe.toml").is_file():
        run = as_asked(RunDirectory.open(folder), overrides, recipe, remake)
    else:
        run = begin(folder, wanted_recipe(recipe, overrides, other), other, tell)
    if other is not None:
        with run.locked():
            take_over(run, other)
    return run


def wanted_recipe(recipe: str | None, overrides: Mapping[str, str], source: RunDirectory | None) -> Recipe:
    """What a new run is asked for, with the commits and the number formats of the run that it comes from."""
    if source is None:
        return load_recipe(recipe or "quickstart", overrides)
    if recipe is None:
        return build_recipe(source.recipe.model_dump(mode="json"), str(source.path / "recipe.toml"), overrides)
    wanted = keep(load_recipe(recipe, overrides), source.manifest().get("revisions", {}))
    return keep_precisions(wanted, source.recipe)


def begin(folder: Path, asked: Recipe, source: RunDirectory | None, tell: Callable[[str], None]) -> RunDirectory:
    """A new run in an empty folder. Raises what the checks refuse."""
    if folder.exists() and (not folder.is_dir() or any(entry.name != STAND_IN for entry in folder.iterdir())):
        raise RunError(f"{folder} is not a run and not empty; name a new folder with --out")
    if not asked.prompt.template:
        prompt_template(asked.problems.source)  # refuses sources that are asked in different ways, before any is read
    resolved, pins = resolve(asked)
    resolved, formats = settle_precisions(resolved)
    findings, found = check_recipe(resolved)
    material = refuse(findings, found)
    for finding in findings:
        tell(str(finding))
    is_new = not folder.exists()
    run = RunDirectory(folder, resolved)
    try:
        with users_file():
            folder.mkdir(parents=True, exist_ok=True)
        facts = write_problems(run, material)
        if source is not None:
            facts = {name: source.manifest()[name] for name in ("revisions", "precision") if name in source.manifest()} | facts
        if pins:
            facts["revisions"] = pins
        if formats:
            facts["precision"] = described(formats)
        run.update_manifest(schema=SCHEMA, **facts | files_of_model(resolved))
        write_whole(folder / "recipe.toml", resolved.to_toml())
    except BaseException:
        shutil.rmtree(folder if is_new else folder / "problems", ignore_errors=True)
        raise
    return run


def files_of_model(recipe: Recipe) -> dict[str, object]:
    """For the manifest: what tells a local model from another one under the same path. A hub's has its commit."""
    place = Path(recipe.model.place).expanduser()
    return {"model_files": model_digest(place)} if recipe.model.path and place.exists() else {}


def write_problems(run: RunDirectory, material: Material) -> dict[str, object]:
    """The run's problems, in files that say what they were made from; returns facts for the manifest."""
    (run.path / "problems").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        write_whole(run.problem_file(split), problem_lines(material.splits[split]))
    facts: dict[str, object] = {}
    if material.given:
        write_whole(run.given_trees, "".join(tree_lines(material.given)))
        facts["given_trees"] = {"taken": len(material.given), "question_is_evaluated": material.evaluated}
    if each_source(run.recipe.problems.sft_source):
        facts["sft_source"] = {"taken": len(material.splits["sft"]), "question_is_evaluated": material.left_out}
    write_whole(problems_note(run), problems_from(run).to_text())
    return facts


def problems_note(run: RunDirectory) -> Path:
    return run.path / "problems" / "problems.from.json"


def problems_from(run: RunDirectory) -> MadeFrom:
    """What the run's problems would be made from now."""
    return MadeFrom(fields_of(run.fields, OF_PROBLEMS), {})


def as_asked(run: RunDirectory, overrides: Mapping[str, str], recipe: str | None = None, remake: bool = False) -> RunDirectory:
    """An existing run with the recipe that is asked for now, which its folder keeps (but for the Ray cluster).

    recipe: a name or path; None: this run's own recipe, with the overrides. remake: remove what would be made otherwise now, so
    that it is owed again; without it, raises RunError where there is such, with the fields and what it took.
    """
    table, name = run.recipe.model_dump(mode="json"), str(run.path / "recipe.toml")
    wanted = load_recipe(recipe, overrides) if recipe else build_recipe(table, name, overrides)
    wanted = keep_precisions(keep(wanted, run.manifest().get("revisions", {})), run.recipe)
    wanted = keep_studies(run.recipe, wanted, overrides)
    now = RunDirectory(run.path, wanted)
    problems = problem_reasons(now)
    if not remake:
        refuse_stale(now, name_problems=problems)
    facts: dict[str, object] = {}
    if (wanted.model, wanted.problems) != (run.recipe.model, run.recipe.problems):
        wanted, pins = resolve(wanted)
        now = RunDirectory(run.path, wanted)
        facts = {"revisions": run.manifest().get("revisions", {}) | pins} | files_of_model(wanted)
    kept = wanted.model_copy(update={"ray": run.recipe.ray})
    is_stale = bool(problems) or any(True for _ in stale(all_turns(now, STAGES)))
    if kept != run.recipe or is_stale:
        with run.locked():
            if problems:
                facts |= write_problems(now, read_material(now.recipe))
            now.update_manifest(**facts)
            now = RunDirectory(run.path, wanted)  # whose outputs are made from what is there now
            gone = [output for _, output, _ in list(stale(all_turns(now, STAGES)))]
            for output in gone:
                remove(output)
            if taken := now.manifest().get("taken_over"):
                own = {str(output.path.relative_to(now.path)) for output in gone}
                now.update_manifest(taken_over={path: source for path, source in taken.items() if path not in own})
            write_whole(run.path / "recipe.toml", kept.to_toml())
    return now


def keep_studies(before: Recipe, wanted: Recipe, overrides: Mapping[str, str]) -> Recipe:
    """What is asked for, with the size of the studies that were made larger, unless the command line itself names another: the
    recipe that the run began with knows nothing of their growth."""
    for study in ("credit", "temperature"):
        settings, there = getattr(wanted, study), getattr(before, study).problems
        if settings.problems < there and f"{study}.problems" not in overrides:
            wanted = wanted.model_copy(update={study: settings.model_copy(update={"problems": there})})
    return wanted


def problem_reasons(run: RunDirectory) -> list[str]:
    """Why the problems of a run would be others now."""
    before = MadeFrom.read(problems_note(run))
    return before.differences(problems_from(run)) if before else []


def refuse_stale(run: RunDirectory, name_problems: Sequence[str] = ()) -> None:
    """Raises RunError where what is there would be made otherwise now: which stages by which fields, and what they took."""
    reasons: dict[str, dict[str, None]] = {"problems": dict.fromkeys(name_problems)} if name_problems else {}
    turns: dict[str, None] = {}
    for (stage, current), _, why in stale(all_turns(run, STAGES)):
        reasons.setdefault(stage.name, {}).update(dict.fromkeys(why))
        turns[f"{stage.name}.{current.number}" if current.number > 1 else stage.name] = None
    if not reasons:
        return
    seconds = run.manifest().get("stage_seconds", {})
    spent = sum(seconds.get(turn, 0.0) for turn in turns)
    told: set[str] = set()
    parts = []
    for name, all_reasons in reasons.items():
        new = [each for each in all_reasons if each not in told and not each.startswith("other ")]
        told.update(new)
        parts.append(f"{name} ({', '.join(new)})" if new else name)
    raise RunError(
        f"{run.path} was made otherwise: {', '.join(parts)}; --remake makes that again (it took {spent:.0f} s), and "
        f"--out FOLDER --from {run.path} keeps it and takes over the rest into a new run"
    )


def remove(output: Output) -> None:
    """Everything of an output, so that it is owed again."""
    for place in (output.note, output.path, *output.unfinished, *output.beside):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def take_over(run: RunDirectory, source: RunDirectory, stages: Sequence[Stage] = STAGES) -> list[str]:
    """Whatever of the source would be made the same here: hard links to what is whole there, copies of records that still
    grow; returns what, by path."""
    taken = []
    for turn in all_turns(run, stages):
        for output in turn[0].outputs(turn[1]):
            if not output.anew and not output.is_begun and (theirs := same_there(output, run, source)):
                take = link if theirs.is_complete else copy
                for place in (theirs.note, *theirs.beside, theirs.path):  # the output last: it says that all is there
                    if place.exists():
                        take(place, run.path / place.relative_to(source.path))
                taken.append(str(output.path.relative_to(run.path)))
    if source.reference_cache.is_dir() and not run.reference_cache.exists():
        shutil.copytree(source.reference_cache, run.reference_cache)  # no links: both runs go on writing theirs
    if taken:
        run.update_manifest(taken_over=run.manifest().get("taken_over", {}) | dict.fromkeys(taken, str(source.place)))
    return taken


def same_there(output: Output, run: RunDirectory, source: RunDirectory) -> Output | None:
    """The output of another run, where it is made from the same and there is something of it that is whole."""
    path = source.path / output.path.relative_to(run.path)
    records = output.records and output.records.at(path)
    theirs = replace(
        output,
        path=path,
        records=records,
        beside=[source.path / place.relative_to(run.path) for place in output.beside],
    )
    kept = MadeFrom.read(theirs.note)
    is_there = theirs.is_complete or (records is not None and records.whole() > 0)
    return theirs if kept is not None and kept.digest == output.digest and is_there else None


def link(place: Path, target: Path) -> None:
    """The same file or folder under another path, without a copy; a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as partial:
        if place.is_dir():
            shutil.copytree(place, partial, copy_function=link_file)
        else:
            link_file(place, partial)


def copy(place: Path, target: Path) -> None:
    """A file that both runs go on writing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as partial:
        shutil.copyfile(place, partial)


def link_file(place: str | Path, target: str | Path) -> None:
    try:
        os.link(place, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(place, target)
