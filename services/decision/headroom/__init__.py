"""GPUs to hold ready while nodes start: what services may need, and what follows for each type."""
