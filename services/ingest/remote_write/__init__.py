"""What a Prometheus writes."""
