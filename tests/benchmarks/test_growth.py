"""The benchmark of growth on a finished small run: the stages really run, over its SFT model, with the numbers asked for."""

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.growth.__main__ import main
from benchmarks.growth.cost import Cost, Setting, cost, own_memory, settings_of
from benchmarks.growth.picture import picture
from scdpo.run.directory import RunDirectory


@pytest.mark.slow
def test_a_setting_is_run_and_measured(finished, tmp_path):
    found = cost(RunDirectory.open(finished), Setting(24, forks=2, workers=2), 6, tmp_path / "growth")
    run = RunDirectory.open(tmp_path / "growth")
    assert len(run.pair_problems) == 24 and run.recipe.fork.forks_per_solution == 2 and run.recipe.sampling.block == 6
    assert found.seconds > 0 and found.memory > 50
    assert found.samples == sum(len(record["samples"]) for record in run.round(1).samples) >= 24
    assert found.continuations > 0 and found.pairs > 0


def test_growth_varies_one_thing_at_a_time():
    series = settings_of(100, 2)
    assert [s.problems for s in series["problems"]] == [100, 300, 1000]
    assert [(s.problems, s.forks) for s in series["forks"]] == [(100, 1), (100, 2), (100, 4)]
    assert [(s.problems, s.workers) for s in series["workers"]] == [(300, 1), (300, 2)]


def test_the_picture_of_growth_shows_its_numbers():
    costs = {name: [Cost(s, 10.0 * s.problems, 321.0, 1, 1, 1) for s in series] for name, series in settings_of(100, 2).items()}
    root = ElementTree.fromstring(picture(costs))
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert {"problems, from 100 at 10: 1e+04", "forks, from 1 at 4: 1000", "workers, from 1 at 2: 321"} <= set(titles)


def test_memory_of_a_process_that_is_gone():
    assert own_memory(2**22 - 1) == 0.0 and Setting(1) == Setting(1, 1, 1)


def test_a_run_without_its_model(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in told
