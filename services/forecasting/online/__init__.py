"""Learning from outcomes between fits."""
