"""Rivals that react to what was measured."""
