"""How fast the REST API answers over a week of a thousand workloads."""
