"""Memory of trainings: given back once after each, and at no other time, because looking for it takes long."""

import weakref

import torch

from scdpo.training import memory


class Library:
    def __init__(self):
        self.trims = 0

    def mallopt(self, name, value):
        return 1

    def malloc_trim(self, pad):
        self.trims += 1


def test_memory_is_given_back_once_after_a_training(monkeypatch):
    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    monkeypatch.setattr(memory, "_keeping", False)
    memory.give_back_memory()
    assert library.trims == 0
    for trained in (1, 2):
        memory.keep_freed_memory()
        memory.give_back_memory()
        memory.give_back_memory()
        assert library.trims == trained


def test_nothing_is_done_without_glibc(monkeypatch):
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    monkeypatch.setattr(memory, "_keeping", False)
    memory.keep_freed_memory()
    memory.give_back_memory()
    assert not memory._keeping


def test_what_holds_itself_is_dropped_on_a_gpu(monkeypatch):
    """A trainer and its model, which hold each other, are gone after a task, and the allocator's blocks with them."""

    class Trainer:
        pass

    emptied = []
    monkeypatch.setattr(memory, "_keeping", False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    trainer = Trainer()
    trainer.model = trainer
    left = weakref.ref(trainer)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(left()))
    del trainer
    memory.give_back_memory()
    assert emptied == [None]
