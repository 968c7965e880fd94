"""`kubectl harmony`: what a cluster's user asks and changes."""

from services.cli.kubectl.application import main

__all__ = ["main"]
