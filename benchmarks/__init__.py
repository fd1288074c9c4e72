"""Speed and memory, measured against a peer in the same run: `make bench-training` and the like, see docs/benchmarks.md."""
