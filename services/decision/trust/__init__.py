"""Looks of the trust gate."""
