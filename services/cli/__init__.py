"""`harmony …`: composition only; every command calls a public function of a service or the lab."""

from services.cli.application import main

__all__ = ["main"]
