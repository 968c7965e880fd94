"""All cells, one for each cluster, side by side."""
