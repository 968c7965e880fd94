"""The trust gate: a workload's model must earn its place, judged on outcomes."""
