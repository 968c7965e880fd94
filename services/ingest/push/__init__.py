"""Samples that are sent."""
