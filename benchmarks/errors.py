"""What ends a benchmark with one line."""

from __future__ import annotations

from scdpo.errors import ScdpoError


class BenchError(ScdpoError):
    """A benchmark that cannot be run here."""
