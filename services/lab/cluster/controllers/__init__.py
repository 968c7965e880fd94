"""Controllers of the simulated cluster: from workloads to pods, their rollout and status."""
