"""GPUs that are held ready while nodes start: as they are advised, and what is shown of them."""
