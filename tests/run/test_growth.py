"""`scdpo bench growth` on a finished small run: the stages really run, over its SFT model, with the numbers asked for."""

import pytest

from scdpo.bench.growth import Setting, cost
from scdpo.run.directory import RunDirectory


@pytest.mark.slow
def test_a_setting_is_run_and_measured(finished, tmp_path):
    found = cost(RunDirectory.open(finished), Setting(24, forks=2, workers=2), 6, tmp_path / "growth")
    run = RunDirectory.open(tmp_path / "growth")
    assert len(run.pair_problems) == 24 and run.recipe.fork.forks_per_solution == 2 and run.recipe.sampling.block == 6
    assert found.seconds > 0 and found.memory > 50
    assert found.samples == sum(len(record["samples"]) for record in run.round(1).samples) >= 24
    assert found.continuations > 0 and found.pairs > 0
