"""Private names of libraries that the package uses: each is listed, and the library still has it."""

import argparse
import ast
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import LlamaConfig, PreTrainedModel

import scdpo

SOURCE = Path(scdpo.__file__).parent
DOCUMENTED = {"_exit", "_replace"}
"""Public in spite of their names (os._exit, a named tuple's _replace)."""


@dataclass(frozen=True)
class Private:
    """A library's private name: the version in which it was last seen and when, the file that uses it and what for."""

    name: str
    library: str
    version: str
    day: str
    file: str
    use: str
    is_there: Callable[[], bool]

    @property
    def lost(self) -> str:
        version = platform.python_version() if self.library == "Python" else metadata.version(self.library)
        return (
            f"{self.library} {version} has no {self.name} any more ({self.version} had it, {self.day}); "
            f"{self.file} needs it {self.use}: look for what took its place"
        )


PRIVATE = (
    Private(
        "_attn_implementation", "transformers", "5.23.0", "2026-12-01", "engines/transformers_engine.py, training/layouts.py",
        "to see which attention a model computes",
        lambda: LlamaConfig(attn_implementation="sdpa")._attn_implementation == "sdpa",
    ),
    Private(
        "_supports_flex_attn", "transformers", "5.23.0", "2026-12-01", "training/attention.py",
        "to see whether a model can take packed rows", lambda: hasattr(PreTrainedModel, "_supports_flex_attn"),
    ),
    Private(
        "_reset_state", "accelerate", "1.15.0", "2026-12-01", "training/placement.py",
        "to shard a model before a Trainer is made", lambda: callable(getattr(AcceleratorState, "_reset_state", None)),
    ),
    Private(
        "_forward_pre_hooks", "torch", "2.13.0", "2026-12-01", "training/log_probs.py",
        "to see that an output layer is nothing but its weights", lambda: hasattr(torch.nn.Linear(1, 1), "_forward_pre_hooks"),
    ),
    Private(
        "_actions", "Python", "3.11.7", "2026-12-01", "cli/completion.py", "to list a parser's options",
        lambda: [action.dest for action in argparse.ArgumentParser()._actions] == ["help"],
    ),
    Private(
        "_SubParsersAction", "Python", "3.11.7", "2026-12-01", "cli/completion.py", "to list a parser's commands",
        lambda: isinstance(argparse.ArgumentParser().add_subparsers(), argparse._SubParsersAction),
    ),
)  # fmt: skip


@pytest.mark.parametrize("private", PRIVATE, ids=lambda private: private.name)
def test_the_library_still_has_it(private):
    assert private.is_there(), private.lost


def test_all_are_listed():
    """What the package reads of an object by a private name that is not the package's own; no name is listed in vain."""
    used: set[str] = set()
    own: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute):
                (own if isinstance(node.ctx, ast.Store) else used).add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
                used |= {name.value for name in node.args[1:2] if isinstance(name, ast.Constant)}
    private = {name for name in used - own - DOCUMENTED if name.startswith("_") and not name.startswith("__")}
    assert private == {each.name for each in PRIVATE}
