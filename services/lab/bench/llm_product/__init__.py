"""Harmony's own path as a policy of the engine's loop: scrapes -> indicators -> decision."""
