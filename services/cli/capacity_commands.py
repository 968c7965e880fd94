"""Commands of capacities: what was learned, `capacity show` and `fit`; a prior, `profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import connected_settings
from services.cli.engine_options import (
    Engine,
    Gpu,
    Lengths,
    Model,
    RequestSeed,
    TensorParallel,
    Tpot,
    Ttft,
    chosen_mix,
    read_ms,
)
from services.cli.output import console, print_json, print_table
from services.cli.workload_filter import Name, Namespace, place_of

if TYPE_CHECKING:
    from services.lab.arena.profile import CapacityProfile

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    capacity = typer.Typer(
        no_args_is_help=True, help="Load that a replica serves: stated, and learned from requests."
    )
    capacity.command()(show)
    capacity.command()(fit)
    capacity.command()(profile)
    app.add_typer(capacity, name="capacity")


def show(name: Name = "", namespace: Namespace = "", as_json: AsJson = False) -> None:
    """Show what load a replica bears within the promise, as learned, and from what; or why not.

    p10, p50 and p90: load per ready replica at which as many requests miss as the promise allows.
    floor: share of requests that misses at any load. slope: how steeply misses rise with load.
    sharing: of several loads, 1 where they share one resource; large where the tightest binds.
    bound_share: how often a load lately took the largest share of what a replica carries of it.
    full_share: share of a full replica that it was at most, by how full its pool says that it is.
    With variants the load is that of a reference replica. used: what decisions take a replica of a
    variant to carry beside the first; as stated until the mix varied enough to learn it.
    """
    from services.platform.capacities import learned_capacities

    rows = learned_capacities(connected_settings(), *place_of(namespace, name))
    if as_json:
        print_json(rows)
        return
    hidden = {"note", "loads", "variants"}
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
    variants = [{"workload": row["workload"], **one} for row in rows for one in row["variants"]]
    if variants:
        print_table("Variants: what a replica carries beside the first", variants)
    for row in rows:
        if row["note"]:
            console.print(f"{row['workload']}: {row['note']}", soft_wrap=True, markup=False)


def fit(as_json: AsJson = False) -> None:
    """Fit lead times, capacities and responses now, in this process, and show what is learned."""
    from services.platform.capacities import fit_capacities_now

    fit_capacities_now(connected_settings())
    show(as_json=as_json)


def profile(  # noqa: PLR0913 - one option each
    model: Model = "Qwen/Qwen3-32B",
    gpu: Gpu = "a100_sxm",
    engine: Engine = "vllm",
    tensor_parallel: TensorParallel = 1,
    mean_input: Annotated[
        float, typer.Option("--input", min=1, max=8000, help="Mean length of prompts, tokens.")
    ] = 1000.0,
    mean_output: Annotated[
        float, typer.Option("--output", min=1, max=2000, help="Mean length of answers, tokens.")
    ] = 200.0,
    ttft: Ttft = "2s",
    tpot: Tpot = "100ms",
    share: Annotated[
        float, typer.Option(help="Share of requests that may miss, beyond those alone.")
    ] = 0.05,
    demand: Annotated[
        str, typer.Option(help="The service's demand: a load of the first three that are shown.")
    ] = "request_rate_rps",
    lengths: Lengths = None,
    seed: RequestSeed = 7,
    as_json: AsJson = False,
) -> None:
    """What one replica carries by the profile of a real engine: a prior without any history.

    Requests arrive by chance, without shared prefixes, on the GPU-free engine of `make arena`. The
    loads are those at the largest rate within the objective at these lengths. A load binds where
    twice as many tokens of it a request cut the rate by more than a tenth. It is a prior: what
    Harmony measures replaces it.
    """
    from services.lab.arena.engine import EngineChoice, ReplayEngine
    from services.lab.arena.goals import RequestGoals
    from services.lab.arena.profile import ProfileQuestion, capacity_profile
    from services.lab.arena.requests import Shape

    goals = RequestGoals(read_ms("--ttft", ttft), read_ms("--tpot", tpot))
    question = ProfileQuestion(Shape(mean_input, mean_output), goals, share, demand, seed)
    mix, choice = chosen_mix(lengths), EngineChoice(model, gpu, engine, tensor_parallel)
    with ReplayEngine(choice) as running:
        found = capacity_profile(running, question, mix)
    if as_json:
        print_json(found.to_json())
        return
    _print_profile(found, f"{model} on {tensor_parallel} x {gpu}, {engine}")


def _print_profile(found: CapacityProfile, title: str) -> None:
    rows = [
        {
            "requests": row.requests,
            **{load: f"{value:,.3g}" for load, value in row.loads.items()},
            "alone": f"{row.limit.floor:.1%}",
            "over the limit: ttft": f"{row.limit.missed_ttft:.1%}",
            "tpot": f"{row.limit.missed_tpot:.1%}",
        }
        for row in found.rows
    ]
    about = found.about
    print_table(f"{title} {about['engine_version']}: one replica carries, a second", rows)
    console.print(
        f"KV space of {about['kv_tokens']:,} tokens. Binds beside requests: "
        f"{', '.join(found.binding) or 'nothing'}. A prior: it replaces no measurement.",
        soft_wrap=True,
    )
    console.print(found.spec_yaml(), markup=False, soft_wrap=True)
