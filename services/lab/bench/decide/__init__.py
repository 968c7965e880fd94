"""Scaling policies compared at matched violation and as deployed, on any trace."""
