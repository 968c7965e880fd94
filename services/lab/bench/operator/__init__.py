"""Measuring the operator on a fleet: real processes, a simulated cluster over HTTP."""
