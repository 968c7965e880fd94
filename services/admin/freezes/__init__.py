"""Freezes of scaling."""
