"""Callers of the service: their credentials, roles and rights."""
