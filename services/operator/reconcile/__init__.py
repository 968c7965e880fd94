"""A pass over the workloads: observe, follow decisions, act, report."""
