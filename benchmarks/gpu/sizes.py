"""How much is measured: on a GPU, and in small on a processor, where it only shows that everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.training.trees import LONG_SHAPE, PAPER_SHAPE, TreeShape
from scdpo.training.collator import Layout


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """A training step to measure. trees: of a step; tokens: of our micro-batches; trl: TRL's pairs at once to try, which divide
    a step's; layouts: ours to try; rank: of LoRA, 0 for all weights."""

    name: str
    shape: str
    tree: TreeShape
    trees: int
    tokens: int
    trl: tuple[int, ...]
    layouts: tuple[Layout, ...] = ("packed", "tree")
    rank: int = 0
    checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """What all sections measure.

    tests: what pytest runs; trees: that layouts are compared on; side: of the square matrices whose product tells the device's
    peak; cases: of training; steps: that count, of each side; output: (counted tokens, vocabulary, width) of the output layer;
    sampled: the shape that samples; trunks, attempts: requests are so many attempts at each trunk; rows: at once; new_tokens:
    of a request, at most; run: fields that make the quickstart smaller.
    """

    tests: tuple[str, ...]
    trees: int
    side: int
    cases: tuple[TrainingCase, ...]
    steps: int
    output: tuple[int, int, int]
    sampled: str
    trunks: int
    attempts: int
    rows: int
    new_tokens: int
    run: Mapping[str, str] = field(default_factory=dict)


RUN = {
    "problems.pairs": "500",
    "problems.dev": "0",
    "problems.test": "200",
    "sft.epochs": "8",
    "training.optimizer": "adamw",  # sharded weights are not for Muon
    "rft.optimizer": "adamw",
    "credit.problems": "50",
    "temperature.problems": "0",
}
FULL = Sizes(
    tests=(
        "tests/training/test_layouts.py",
        "tests/training/test_packing.py",
        "tests/training/test_output_layer.py",
        "tests/engines",
    ),
    trees=6,
    side=8192,
    cases=(
        TrainingCase(
            "1.5B, all weights, trees of the paper's shape",
            "qwen2.5-1.5b",
            PAPER_SHAPE,
            32,
            8192,
            (8, 16),
            ("packed", "tree", "pairs"),
        ),
        TrainingCase("1.5B, all weights, trees of 4K tokens", "qwen2.5-1.5b", LONG_SHAPE, 4, 8192, (2, 4)),
        TrainingCase("8B, LoRA, trees of the paper's shape", "llama-3-8b", PAPER_SHAPE, 16, 4096, (4, 8), rank=16),
        TrainingCase("8B, LoRA, trees of 4K tokens", "llama-3-8b", LONG_SHAPE, 2, 8192, (1, 2), rank=16, checkpointing=True),
    ),
    steps=2,
    output=(4096, 151936, 1536),
    sampled="qwen2.5-1.5b",
    trunks=32,
    attempts=8,
    rows=128,
    new_tokens=256,
    run=RUN,
)
SMALL = Sizes(
    tests=("tests/training/test_packing.py::test_the_grid_of_widths",),
    trees=2,
    side=256,
    cases=(TrainingCase("tiny, all weights", "tiny", TreeShape(6, 2, 5, 1), 2, 512, (2,)),),
    steps=1,
    output=(64, 512, 32),
    sampled="tiny",
    trunks=2,
    attempts=2,
    rows=4,
    new_tokens=8,
    run=RUN,
)
