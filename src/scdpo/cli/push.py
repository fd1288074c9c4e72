"""`scdpo push RUN`: a finished run's model, pairs and page to the hub. What goes where: publication."""

from __future__ import annotations

import re
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.errors import HubError, first_line
from scdpo.settings import Settings

if TYPE_CHECKING:
    from scdpo.cli.publication import Upload


class Push(Settings):
    """Upload a finished run's model, preference pairs and page to the hub, with cards. See docs/hub.md.

    The pairs go to the data set OWNER/NAME-pairs, the page to the Space OWNER/NAME-page.
    """

    run: Annotated[str, Shown("RUN", is_positional=True)]
    """The run's folder."""
    to: Annotated[str, Shown("OWNER/NAME")]
    """Where the model goes; the names of the others are made from it."""
    model: str = "scdpo"
    """Which of the run's models."""
    what: tuple[Literal["model", "data", "page"], ...] = ("model", "data", "page")
    """What goes (default: all)."""
    private: bool = False
    """Make what is new there private."""
    dry_run: bool = False
    """Show what would go, with sizes, and stop."""


def push(options: Push, console: Console) -> None:
    """Upload as asked. Raises HubError, RunError."""
    from huggingface_hub import get_token

    from scdpo.cli.publication import machine_paths, publication
    from scdpo.run.directory import RunDirectory

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", options.to):
        raise HubError(f'--to is "{options.to}"; give it as OWNER/NAME, the owner being you or an organization of yours')
    if not options.dry_run and not get_token():
        raise HubError(
            "no token of the hub is here; log in with: hf auth login (or set HF_TOKEN), or look first with --dry-run"
        )
    run = RunDirectory.open(options.run)
    with TemporaryDirectory() as made:
        uploads = publication(run, options.model, options.to, options.what, made)
        show(uploads, console)
        for field, value in machine_paths(run).items():
            console.print(f"The recipe and the page name a place of this machine: {field} = {value}", markup=False)
        if options.dry_run:
            console.print("Nothing was uploaded (--dry-run).")
            return
        for upload in uploads:
            console.print(f"{upload.called}: {send(upload, options.private, run.path.name)}", markup=False)


def show(uploads: Sequence[Upload], console: Console) -> None:
    """Every file with its size, by repository."""
    for upload in uploads:
        console.print(f"{upload.called}", markup=False)
        for path, size in upload.sizes.items():
            console.print(f"  {in_bytes(size):>10}  {path}", markup=False)
        console.print(f"  {in_bytes(sum(upload.sizes.values())):>10}  in {len(upload.files)} files", markup=False)


def in_bytes(size: float) -> str:
    """A size as people read it."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def send(upload: Upload, private: bool, run: str) -> str:
    """Upload one repository's files in one commit; files that are there already, and the same, are passed over.

    Returns where they are. Raises HubError.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from scdpo import __version__
    from scdpo.hub import http_status

    api = HfApi()
    sdk = "static" if upload.kind == "space" else None
    try:
        # None leaves the visibility to the account's own setting, and that of what is there as it is.
        url = api.create_repo(upload.name, repo_type=upload.kind, private=private or None, exist_ok=True, space_sdk=sdk)
        commit = api.create_commit(
            upload.name,
            repo_type=upload.kind,
            operations=[CommitOperationAdd(path, content) for path, content in upload.files.items()],
            commit_message=f"The run {run} of scdpo {__version__}",
        )
    except Exception as error:  # of the hub, or of the network below it
        cure = "the same command sends what is missing"
        if http_status(error) in (401, 403):
            cure = "log in as one who may write there: hf auth login, with a token that has the right to write"
        raise HubError(f"cannot upload to {upload.name}: {first_line(error)}; {cure}") from error
    return f"{url} at {commit.oid}"
