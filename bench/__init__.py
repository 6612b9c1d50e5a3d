"""Benchmarks: `./do bench` runs them all and writes docs/reference/benchmarks.md."""
