"""Models: stored, promoted, served."""
