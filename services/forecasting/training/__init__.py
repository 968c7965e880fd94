"""Fits and updates of models."""
