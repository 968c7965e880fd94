"""History of one workload that is sent over REST: read, screened, filled in where nothing is."""
