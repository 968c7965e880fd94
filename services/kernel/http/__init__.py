"""The shared part of every HTTP service: problems, limits, health, serving, traces."""
