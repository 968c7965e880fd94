"""Traces of requests: real ones, and ones made by a seed."""
