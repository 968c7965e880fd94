"""The shells: services around the two cores, the laboratory, the command line."""
