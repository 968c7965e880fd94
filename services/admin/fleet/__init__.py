"""The console's pages of the fleet and of one workload."""
