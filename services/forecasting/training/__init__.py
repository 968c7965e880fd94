"""Fits of models."""
