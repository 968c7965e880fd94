"""Commands that study a trace offline: `backtest`, `bench …`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
