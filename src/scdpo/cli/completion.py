"""`scdpo completion bash`: a script that completes commands, options, their choices, recipes and recipe fields.

Written from the parser once, so that a press of the tab key starts no Python. zsh reads bash's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Annotated, Literal

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.run.recipe import described_fields, packaged_recipes
from scdpo.settings import Settings

FOR_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
SCRIPT = """_scdpo() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words= fields=
  case "$command ${{COMP_WORDS[2]}}" in {groups}) command="$command ${{COMP_WORDS[2]}}";; esac
  if [ "$COMP_CWORD" = 1 ]; then words="{commands}"; else
    case "$command" in
{cases}
    esac
    case "$word" in
      --*) [ -z "$fields" ] || words="$words {fields}";;
      *) case "$command $before" in
{choices}
         {recipe_commands}|*" --recipe") words="{recipes}";;
         "fields fields") words="{sections}";;
         *) case "$words" in --*) words=;; esac;;
         esac;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o bashdefault -o default -F _scdpo scdpo
"""


class Completion(Settings):
    """Print a script that completes commands, options, recipes and recipe fields with the tab key.

    For bash, in ~/.bashrc:  eval "$(scdpo completion bash)"
    For zsh, in ~/.zshrc:    eval "$(scdpo completion zsh)"
    """

    shell: Annotated[Literal["bash", "zsh"], Shown(is_positional=True)]
    """The shell that is to complete."""


def complete(options: Completion, console: Console) -> None:
    """Print the script."""
    print((FOR_ZSH if options.shell == "zsh" else "") + script(), end="")


def commands_of(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(name, parser) of every command, and of every group of commands."""
    for action in parser._actions:  # argparse shows nobody else what it knows
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{before}{name}", command
                yield from commands_of(command, f"{before}{name} ")


def options_of(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a command by what is typed, -h apart."""
    return {name: action for action in command._actions for name in action.option_strings if name.startswith("--")}


def script() -> str:
    """The completion of bash."""
    from scdpo.cli.main import parser

    commands = dict(commands_of(parser((), everything=True)))
    groups = {name.partition(" ")[0] for name in commands if " " in name}
    cases, choices, of_recipes = [], [], []
    for name, command in commands.items():
        words = [part.partition(" ")[2] for part in commands if part.startswith(f"{name} ")] or list(options_of(command))
        takes_fields = "act" not in command._defaults or "takes_fields" in command._defaults
        cases.append(f'      "{name}") words="{" ".join(words)}"{" fields=1" if takes_fields and name not in groups else ""};;')
        for option, action in options_of(command).items():
            if action.choices:
                choices.append(f'         "{name} {option}") words="{" ".join(map(str, action.choices))}";;')
        positional = [action for action in command._actions if not action.option_strings]
        for action in positional:
            if action.choices and name not in groups:
                choices.append(f'         "{name} {name.split()[-1]}") words="{" ".join(map(str, action.choices))}";;')
        if name in ("run", "plan", "show recipe", "show prompt"):
            of_recipes.append(f'"{name} {name.split()[-1]}"')
    fields = [field.path for field in described_fields()]
    return SCRIPT.format(
        groups="|".join(f'"{name}"' for name in commands if " " in name),
        commands=" ".join(name for name in commands if " " not in name),
        cases="\n".join(cases),
        choices="\n".join(choices),
        fields=" ".join(f"--{path}" for path in fields),
        recipe_commands="|".join(of_recipes),
        recipes=" ".join(packaged_recipes()),
        sections=" ".join(dict.fromkeys(path.partition(".")[0] for path in fields)),
    )
