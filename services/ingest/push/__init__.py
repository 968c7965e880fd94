"""Samples that are pushed: who may send them, how they are checked and stored."""
