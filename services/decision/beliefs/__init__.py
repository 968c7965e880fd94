"""Posteriors of lead times and capacities: data, fits, updates."""
