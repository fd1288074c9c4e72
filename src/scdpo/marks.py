"""The marks of solutions with code in the paper's format. Knows nothing else."""

from __future__ import annotations

TEXT, CODE, EXECUTION = "<|text|>", "<|code|>", "<|execution|>"
BLOCK_END, MESSAGE_END = "<|endofblock|>", "<|endofmessage|>"
MARKS = (TEXT, CODE, EXECUTION, BLOCK_END, MESSAGE_END)
