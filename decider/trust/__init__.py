"""Whether a workload's model has earned its place, judged on what happened."""
