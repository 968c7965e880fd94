"""A simulated month: GPU-hours and dollars saved, and whether the promise was kept for them."""
