"""Everything around a workload in the cluster: pods, placement, quotas, other autoscalers."""
