"""What outcomes teach between fits."""
