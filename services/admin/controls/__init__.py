"""Policies, schedules and pauses of a workload."""
