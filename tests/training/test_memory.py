"""Memory of trainings: given back once after each, and at no other time, because looking for it takes long."""

import weakref

import pytest
import torch

from scdpo.run import pool
from scdpo.run.directory import RunDirectory
from scdpo.run.recipe import load_recipe
from scdpo.run.worker import Worker
from scdpo.training import memory


class Library:
    def __init__(self):
        self.trims = 0

    def mallopt(self, name, value):
        return 1

    def malloc_trim(self, pad):
        self.trims += 1


def test_memory_is_given_back_after_a_training_alone(monkeypatch):
    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    memory.give_back_memory(trained=False)
    assert library.trims == 0
    memory.keep_freed_memory()
    memory.give_back_memory(trained=True)
    memory.give_back_memory(trained=False)
    assert library.trims == 1


def test_a_task_that_trains_says_so(monkeypatch, tmp_path):
    """Once, whether it ends or fails; what samples after it gives nothing back."""
    told = []
    monkeypatch.setattr(pool, "give_back_memory", told.append)
    worker = Worker(RunDirectory(tmp_path, load_recipe("quickstart")))

    def trains(worker, report):
        worker.give_way(1)

    def samples(worker, report):
        pass

    for task in (samples, trains, samples):
        pool.run_task(worker, (task, (), 0), print)

    def fails(worker, report):
        worker.give_way(1)
        raise ValueError

    with pytest.raises(ValueError):
        pool.run_task(worker, (fails, (), 0), print)
    pool.run_task(worker, (samples, (), 0), print)
    assert told == [False, True, False, True, False]


def test_nothing_is_done_without_glibc(monkeypatch):
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    memory.keep_freed_memory()
    memory.give_back_memory(trained=True)


def test_what_holds_itself_is_dropped_on_a_gpu(monkeypatch):
    """A trainer and its model, which hold each other, are gone after a task, and the allocator's blocks with them."""

    class Trainer:
        pass

    emptied = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    trainer = Trainer()
    trainer.model = trainer
    left = weakref.ref(trainer)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(left()))
    del trainer
    memory.give_back_memory(trained=False)
    assert emptied == [None]
