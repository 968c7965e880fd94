"""`harmony bench`: the benchmarks."""
