"""What scdpo is and does on a GPU, measured in a few minutes: see docs/gpu.md."""
