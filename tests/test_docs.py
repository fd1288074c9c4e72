"""What the docs name on the command line exists: commands, options and recipe fields; and docs/commands.md has all of them."""

import re
from pathlib import Path

import pytest

from scdpo.cli.completion import commands_of, options_of
from scdpo.cli.main import EVERYWHERE, parser
from scdpo.run.recipe import described_fields, packaged_recipes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = dict(commands_of(parser((), everything=True)))
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}
FIELDS = {field.path for field in described_fields()}
TOLD = {"--section.field", "--help", *EVERYWHERE}
"""Options of any command, and what stands for a recipe field."""


def code_of(page: Path) -> list[str]:
    """The lines of code of a page, indented or fenced, and what stands between backticks in its text; comments apart."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S)
    indented = [line for line in rest.splitlines() if line.startswith("    ")]
    return [line.partition(" #")[0] for line in fenced + indented] + re.findall(r"`([^`\n]+)`", rest)


def calls_of(line: str) -> list[tuple[str, list[str]]]:
    """(command, its words) for each call of scdpo in a line of code."""
    calls = []
    for part in re.split(r";|&&|\| ", line):
        words = re.sub(r"[\[\]()]", " ", part).split()
        if "scdpo" in words[:1] + words[1:2] * (words[:1] == ["$"]) or "-m scdpo" in part:
            words = words[words.index("scdpo") + 1 :]
            if words and re.fullmatch(r"[a-z][a-z-]+", words[0]):
                name = " ".join(words[:2]) if words[0] in GROUPS and len(words) > 1 else words[0]
                calls.append((name, words))
    return calls


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_options_and_fields_exist(page):
    """Of each call in the page's code; and every --section.field, wherever it stands."""
    wrong = []
    for line in code_of(page):
        for name, words in calls_of(line):
            command = COMMANDS.get(name)
            options = [word.partition("=")[0] for word in words if word.startswith("--") and "." not in word]
            if command is None:
                wrong.append(f"no command {name!r}: {line}")
            else:
                wrong += [f"{name} has no {each}: {line}" for each in options if each not in {*options_of(command), *TOLD}]
        for option in re.findall(r"--[a-z_]+\.[a-z_.]+", line):
            is_told = option in TOLD or option.startswith("--prompt.chat_options.")
            if not is_told and option[2:] not in FIELDS:
                wrong.append(f"no field {option}: {line}")
    assert not wrong


def synopsis() -> dict[str, str]:
    """The calls of docs/commands.md by command, each with the lines that go on with it."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").partition("Every command also takes")[0]
    calls = re.findall(r"^    scdpo (.*(?:\n        .*)*)", text, re.M)
    names = [
        next(name for name in sorted(COMMANDS, key=len, reverse=True) if f"{call} ".startswith(f"{name} ")) for call in calls
    ]
    return dict(zip(names, calls, strict=True))


def test_the_page_of_commands_has_all():
    """Every command in synopsis and table, with every option that it has and no other; those without brackets are needed."""
    calls = synopsis()
    tables = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert calls.keys() == {name for name in COMMANDS if name not in GROUPS}
    for name, call in calls.items():
        assert re.search(rf"^\| .*`{name}`", tables, re.M), f"{name} is in no table"
        options = {option: action for option, action in options_of(COMMANDS[name]).items() if option not in TOLD}
        assert set(re.findall(r"--[a-z-]+(?![a-z.-])", call)) == options.keys(), name
        needed = {option for option, action in options.items() if action.required}
        assert set(re.findall(r"(?<!\[)--[a-z-]+(?![a-z.-])", call)) == needed, name
        takes_fields = "act" not in COMMANDS[name]._defaults or "takes_fields" in COMMANDS[name]._defaults
        assert ("--section.field" in call) == (takes_fields and name != "status"), name


def test_every_packaged_recipe_is_on_its_page():
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert not [name for name in packaged_recipes() if f"`{name}`" not in text]
