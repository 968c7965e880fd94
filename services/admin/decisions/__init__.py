"""Decisions, actions and outcomes, and the words for them."""
