"""What is to be done to a workload, and to which of its pods. Pure."""
