"""The fair race: every policy decides at its own cadence, and lead time is an axis."""
