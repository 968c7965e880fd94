"""The prior: made-up demand, and a network trained on it before it has seen a fleet."""
