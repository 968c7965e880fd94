"""Measuring what a cycle of the platform costs, by the size of the fleet and of its history."""
