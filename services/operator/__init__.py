"""The operator: decisions to the cluster, and what the cluster does back to the database."""
