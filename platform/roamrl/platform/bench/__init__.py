"""Benchmarks: our engine and environments against what one would use instead, interleaved in one run."""
