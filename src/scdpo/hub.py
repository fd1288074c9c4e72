"""The hub: a repository's name and revision, and the folder in which its commit lies on this machine.

Knows names, revisions and the hub's cache; knows neither models nor problems.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scdpo.errors import HubError, first_line

Kind = Literal["model", "dataset"]
NAMED = re.compile(r"(\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(\w[\w./-]*))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
ANSWER_SECONDS = 10
CACHED = re.compile(r"(models|datasets)--.")
# Of a model, what transformers reads of it: at the top, and not the weights once more in another library's form.
IGNORED = {"model": ["*/*", "consolidated*"], "dataset": []}
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.py", "*.jinja", "*.tiktoken"]
PICKLED_WEIGHTS = ["*.bin"]


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of the hub, OWNER/NAME (old models have no owner), and what is asked of it: a branch, a tag or a commit."""

    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        return COMMIT.fullmatch(self.revision) is not None


def parse(place: str) -> HubName | None:
    """A place written NAME or NAME@REVISION; None for what is not a name on the hub but a path."""
    found = NAMED.fullmatch(place)
    return HubName(found[1], found[2] or "main") if found else None


def fetch(asked: HubName, kind: Kind, patterns: Sequence[str] = ()) -> Path:
    """The folder of a commit, called by its hash; fetched where it is not in the hub's cache yet.

    A full hash that is in the cache needs no network; a branch or tag without network is what the cache last knew of it.
    patterns: the files of a data set that are wanted. Raises HubError.
    """
    try:
        return _fetched(asked, kind, MODEL_FILES if kind == "model" else patterns)
    except Exception as error:  # of many types: of the hub, of the network below it, of the disk
        raise HubError(_trouble(asked, kind, error)) from error


def is_cached(asked: HubName) -> bool:
    """Whether a model is in the hub's cache, whole as far as that can be told. Asks no network."""
    return _cached(asked, "model", MODEL_FILES) is not None


def _fetched(asked: HubName, kind: Kind, wanted: Sequence[str]) -> Path:
    if asked.is_pinned and (cached := _cached(asked, kind, wanted)):
        return cached
    try:
        _greet(asked, kind)
    except Exception:
        cached = None if asked.is_pinned else _cached(asked, kind, wanted)
        if cached is None:
            raise
        return cached
    folder = _snapshot(asked, kind, wanted)
    if kind == "model" and not _has_weights(folder):
        folder = _snapshot(HubName(asked.name, folder.name), kind, [*wanted, *PICKLED_WEIGHTS])
    return folder


def _cached(asked: HubName, kind: Kind, wanted: Sequence[str]) -> Path | None:
    """The snapshot in the cache, where it is whole as far as that can be told."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _snapshot(asked, kind, wanted, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return folder if kind == "dataset" or _has_weights(folder) else None


def _greet(asked: HubName, kind: Kind) -> None:
    """One question, with one answer or none: without a way to the hub, the library's own questions take up to minutes.

    Raises HfHubHTTPError, LocalEntryNotFoundError.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        HfApi().repo_info(asked.name, repo_type=kind, revision=asked.revision, timeout=ANSWER_SECONDS)
    except HfHubHTTPError:
        raise
    except Exception as error:  # of the network, or offline mode
        raise LocalEntryNotFoundError(str(error)) from error


def _snapshot(asked: HubName, kind: Kind, wanted: Sequence[str], **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            asked.name,
            repo_type=kind,
            revision=asked.revision,
            allow_patterns=list(wanted),
            ignore_patterns=IGNORED[kind],
            **options,
        )
    )


def _has_weights(folder: Path) -> bool:
    return any(True for pattern in ("*.safetensors", *PICKLED_WEIGHTS) for _ in folder.glob(pattern))


def _trouble(asked: HubName, kind: Kind, error: Exception) -> str:
    """What went wrong with the hub, on one line, with the cure."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return f"{asked.name} wants its terms accepted: do so on its page, then log in with hf auth login, or set HF_TOKEN"
    if isinstance(error, RevisionNotFoundError):
        return f'{asked.name} has no revision "{asked.revision}"; name a branch, a tag or a full commit hash of it'
    if isinstance(error, RepositoryNotFoundError) or http_status(error) == 401:
        what = "data set" if kind == "dataset" else "model"
        return f"there is no {what} {asked.name}, or it is private: check the name, or log in with hf auth login (or HF_TOKEN)"
    if isinstance(error, (LocalEntryNotFoundError, HfHubHTTPError)):
        why = f"no answer from {constants.ENDPOINT}"
        if constants.is_offline_mode():
            why = "HF_HUB_OFFLINE is set"
        elif status := http_status(error) or http_status(error.__cause__):
            why = f"{constants.ENDPOINT} answered {status}"
        return f"{why}, and {asked} is not whole in {constants.HF_HUB_CACHE} (HF_HOME says where that is)"
    return first_line(error)


def http_status(error: BaseException | None) -> int | None:
    """What the hub answered, where an error is its answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def snapshot_of(folder: Path) -> Path:
    """The snapshot in a folder of the hub's cache (models--OWNER--NAME) that someone brought here alone: that of main, or the
    only one. Any other folder is itself. Raises HubError.
    """
    if not CACHED.match(folder.resolve().name) or not (folder / "snapshots").is_dir():
        return folder
    main = folder / "refs" / "main"
    there = sorted((folder / "snapshots").iterdir())
    if main.is_file():
        there = [each for each in there if each.name == main.read_text(encoding="utf-8").strip()]
    if len(there) != 1:
        raise HubError(f"{folder} does not say which of its snapshots is wanted; name one of the folders in {folder}/snapshots")
    return there[0]
