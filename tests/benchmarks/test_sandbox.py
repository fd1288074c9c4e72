"""The benchmark of the sandbox measures both sides."""

import json

import pytest

from benchmarks.sandbox.__main__ import main


def test_both_sides_are_measured(tmp_path, capsys):
    pytest.importorskip("ipykernel", reason="the peer, ipykernel, is not installed")
    out = tmp_path / "figures.json"
    assert main(["--sessions", "20", "--kernels", "1", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["scdpo"]["sessions"] == 20 and figures["ratio"] > 1
    assert "ratio" in capsys.readouterr().out
