"""The laboratory: simulated cluster, fleets, rivals, demo; the one shell that sees both cores."""
