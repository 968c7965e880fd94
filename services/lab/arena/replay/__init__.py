"""Runs in the engine's process, by the arena's Python: it needs nothing else of the product."""
