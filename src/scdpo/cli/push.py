"""`scdpo push RUN`: a finished run's model, pairs and page to the hub. Its options, what it shows, and the uploading.

What goes where: publication.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from scdpo.cli.publication import Upload

WHAT = ("model", "data", "page")


def add_push(commands: Any) -> None:
    text = "upload a finished run's model, preference pairs and page to the hub, with cards"
    command = commands.add_parser("push", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/hub.md.")
    command.add_argument("run", metavar="RUN", help="the run's folder")
    text = "the model's place; pairs go to the data set OWNER/NAME-pairs, the page to the Space OWNER/NAME-page"
    command.add_argument("--to", metavar="OWNER/NAME", required=True, help=text)
    command.add_argument("--model", default="scdpo", help="which of the run's models (default: scdpo)")
    command.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT), help="what goes (default: all)")
    command.add_argument("--private", action="store_true", help="make what is new there private")
    command.add_argument("--dry-run", action="store_true", help="show what would go, with sizes, and stop")
    command.set_defaults(act=act_push, library_bars=True)


def act_push(known: argparse.Namespace, console: Console) -> None:
    from tempfile import TemporaryDirectory

    from huggingface_hub import get_token

    from scdpo.cli.publication import machine_paths, publication
    from scdpo.errors import HubError
    from scdpo.run.directory import RunDirectory

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", known.to):
        raise HubError(f'--to is "{known.to}"; give it as OWNER/NAME, the owner being you or an organization of yours')
    if not known.dry_run and not get_token():
        raise HubError(
            "no token of the hub is here; log in with: hf auth login (or set HF_TOKEN), or look first with --dry-run"
        )
    run = RunDirectory.open(known.run)
    with TemporaryDirectory() as made:
        uploads = publication(run, known.model, known.to, known.what, made)
        show(uploads, console)
        for field, value in machine_paths(run).items():
            console.print(f"The recipe and the page name a place of this machine: {field} = {value}", markup=False)
        if known.dry_run:
            console.print("Nothing was uploaded (--dry-run).")
            return
        for upload in uploads:
            console.print(f"{upload.called}: {send(upload, known.private, run.path.name)}", markup=False)


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
    from scdpo.errors import HubError, first_line
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
