"""What stages work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scdpo.run.directory import RunDirectory
    from scdpo.run.pool import Workers
    from scdpo.run.progress import Watcher
    from scdpo.run.ray_pool import RayWorkers


@dataclass(frozen=True, slots=True)
class Tools:
    """What stages work with: the run, the workers for trainings, those for blocks of problems, and who watches; of several
    launched processes, whether this is the one that writes; the layers of the sandbox, for the manifest."""

    run: RunDirectory
    workers: Workers
    block_workers: Workers | RayWorkers
    watcher: Watcher
    is_main: bool = True
    layers: Sequence[str] = ()
