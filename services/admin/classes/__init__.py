"""SLA classes."""
