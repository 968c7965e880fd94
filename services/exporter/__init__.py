"""What is known of each workload, for Prometheus: once per database, from what is stored."""
