"""Workloads made and changed over REST."""
