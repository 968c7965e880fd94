"""Commands that look into a running platform or run one stage of it by hand."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
