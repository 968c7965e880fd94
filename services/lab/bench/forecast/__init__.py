"""Benchmark of forecasters: tasks, arms, scores, reports."""
