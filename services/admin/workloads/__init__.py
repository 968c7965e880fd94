"""Workloads, listed and one by one."""
