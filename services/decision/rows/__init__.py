"""Rows of the decision service, and the decider's values."""
