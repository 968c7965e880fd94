"""What the cluster holds around a workload: pods, placement, quotas, other autoscalers."""
