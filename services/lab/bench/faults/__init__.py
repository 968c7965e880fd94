"""The whole platform under load and a seeded schedule of faults, and what must hold."""
