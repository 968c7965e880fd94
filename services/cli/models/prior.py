"""`harmony models pretrain`, and the card that `harmony models show prior` shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from services.cli.output import console, print_json, print_table
from services.kernel.settings import LARGEST_SEED

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def pretrain(  # noqa: PLR0913 - one option each
    traces: Annotated[
        Path, typer.Option(envvar="HARMONY_DATA_DIR", help="Folder of the public traces.")
    ] = Path("data"),
    out: Annotated[Path, typer.Option(help="Folder for the prior and its card.")] = Path("."),
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes; default: what the shipped prior has.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was interrupted.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=LARGEST_SEED, help="Seed; default: that of the shipped prior."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU when there is one), cpu or cuda.")] = (
        "auto"
    ),
    as_json: AsJson = False,
) -> None:
    """Train the prior that is shipped (docs/prior.md) again, from nothing.

    It learns from made-up demand and from the first 70 % of public traces. Ctrl-C keeps the state
    after the last whole epoch, and --resume goes on from there to the same bytes.
    """
    from services.cli.models.pretraining import Pretraining, train_prior

    asked = Pretraining(out, traces)
    asked = replace(asked, epochs=epochs or asked.epochs, seed=asked.seed if seed is None else seed)
    card = train_prior(asked, device, is_resumed=resume)
    if as_json:
        print_json(card)
    else:
        _print_card(card)


def show_card(as_json: bool) -> None:
    """Show what the shipped prior is."""
    from services.forecasting.registry.shipped import CARD_FILE, shipped_bytes

    card = json.loads(shipped_bytes(CARD_FILE))
    if as_json:
        print_json(card)
    else:
        _print_card(card)


def _print_card(card: dict[str, Any]) -> None:
    figures = {key: value for key, value in card.items() if not isinstance(value, dict)}
    lines = "\n".join(f"{key:26} {value}" for key, value in figures.items())
    console.print(Panel(lines, title=Text(f"prior {card['version']}"), title_align="left"))
    print_table("Traces", [{"trace": k, "licence": v} for k, v in card["traces"].items()])
