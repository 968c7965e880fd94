"""The simulated GPU cluster: nodes, pods, starts, in exact time."""
