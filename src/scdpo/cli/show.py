"""`scdpo show PART`: what a recipe or a run comes to, before anything is spent. Its options, which cost no import."""

from __future__ import annotations

import argparse
from typing import Any


def add_show(commands: Any) -> None:
    text = "show what a recipe or a run comes to"
    show = commands.add_parser("show", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parts = show.add_subparsers(dest="part", required=True, metavar="PART")
    text = "the prompt as the model sees it, token by token, what ends a solution, and which tokens are trained on"
    prompt = parts.add_parser("prompt", help=text, description=f"Show {text}. See docs/prompts.md.")
    prompt.add_argument("target", metavar="RECIPE|RUN", help="a packaged recipe, a TOML file or a run's folder")
    prompt.add_argument("--question", metavar="TEXT", help="ask this (default: the run's first problem for pairs)")
    prompt.set_defaults(act=act_prompt, takes_fields=True)


def act_prompt(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.show_prompt import show_prompt

    show_prompt(known.target, known.question, known.fields, console)
