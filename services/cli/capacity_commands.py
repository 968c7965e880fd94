"""Commands of what was learned of capacities: `capacity show`, `fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.connection import connected_settings
from services.cli.output import console, print_json, print_table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Only this namespace.")]
Name = Annotated[str, typer.Argument(help="Only this workload.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    capacity = typer.Typer(
        no_args_is_help=True, help="Load that a replica serves: stated, and learned from requests."
    )
    capacity.command()(show)
    capacity.command()(fit)
    app.add_typer(capacity, name="capacity")


def show(name: Name = "", namespace: Namespace = "", as_json: AsJson = False) -> None:
    """Show what load a replica bears within the promise, as learned, and from what; or why not.

    p10, p50 and p90: load per ready replica at which as many requests miss as the promise allows.
    floor: share of requests that misses at any load. slope: how steeply misses rise with load.
    sharing: of several loads, 1 where they share one resource; large where the tightest binds.
    bound_share: how often a load lately took the largest share of what a replica carries of it.
    """
    from services.platform.capacities import learned_capacities

    rows = learned_capacities(connected_settings(), namespace, name)
    if as_json:
        print_json(rows)
        return
    hidden = {"note", "loads"}
    if not any(row["loads"] for row in rows):
        hidden.add("sharing")
    shown = [{k: v for k, v in row.items() if k not in hidden} for row in rows]
    for row in shown:
        if row["learned_at"] is not None:
            row["learned_at"] = f"{row['learned_at']:%Y-%m-%d %H:%M} UTC"
    print_table("Capacities", shown)
    loads = [{"workload": row["workload"], **load} for row in rows for load in row["loads"]]
    if loads:
        print_table("Loads of a replica, each alone", loads)
    for row in rows:
        if row["note"]:
            console.print(f"{row['workload']}: {row['note']}", soft_wrap=True, markup=False)


def fit(as_json: AsJson = False) -> None:
    """Fit lead times, capacities and responses now, in this process, and show what is learned."""
    from services.platform.capacities import fit_capacities_now

    fit_capacities_now(connected_settings())
    show(as_json=as_json)
