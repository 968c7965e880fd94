"""What every HTTP service shares: problems, limits, health, serving, traces."""
