"""`harmony bench supply`: who keeps a promise on how many nodes, where nodes come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.bench.race import seconds
from services.cli.output import picture, print_rows, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import JsonFile, Seed

if TYPE_CHECKING:
    from services.lab.bench.supply.run import SupplyCell

Startup = Annotated[
    str, typer.Option(help="Medians of the time that a node takes to come, comma-separated.")
]
Spot = Annotated[
    float,
    typer.Option(help="Interruptions a day in the pool, of one node each."),
]
Failures = Annotated[
    float, typer.Option(help="Share of the time in which no node can be had, as 0.02.")
]
Policies = Annotated[
    str | None,
    typer.Option(help="Who runs, comma-separated: hpa, hpa_headroom, keda_cron, harmony."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="HARMONY_DATA_DIR", help="Folder of the public traces (docs/traces.md)."),
]
IsQuick = Annotated[
    bool,
    typer.Option("--quick", help="See whether it runs: three services, 90 minutes, few settings."),
]
PlotFile = Annotated[
    Path | None, typer.Option(callback=picture, help="Write the frontiers to this PNG.")
]


def bench_supply(  # noqa: PLR0913 - one option each
    startup: Startup = "2m,5m,10m",
    spot: Spot = 5.0,
    failures: Failures = 0.02,
    days: Annotated[float, typer.Option(help="Days that are counted.")] = 1.0,
    n_seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, help="Seeds of demand and luck.")
    ] = 1,
    seed: Seed = 7,
    policies: Policies = None,
    data_dir: DataDir = None,
    is_quick: IsQuick = False,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Services on nodes that are added for them: node-hours at the same share of time out of SLA.

    A model of discrete events: nodes of eight GPUs that take minutes to come, at times cannot be
    had, are interrupted, and go when nobody needs them. Demand by the minute: a made-up fleet, the
    demo's real demand, and a public trace where there is the folder of them.

    Harmony decides by the services' own functions, told a promise. HPA with and without placeholder
    pods and KEDA with a schedule run on grids of settings; of each the best in hindsight counts.
    docs/benchmarks/supply.md explains the figures.
    """
    from services.lab.bench.supply.document import supply_document
    from services.lab.bench.supply.options import POLICIES, SupplyOptions
    from services.lab.bench.supply.run import run_supply

    options = SupplyOptions(
        startups_s=tuple(seconds(part, "--startup") for part in startup.split(",")),
        spot_per_day=spot,
        failure_share=failures,
        days=days,
        seeds=tuple(range(seed, seed + n_seeds)),
        policies=tuple(part.strip() for part in policies.split(",")) if policies else POLICIES,
        data_dir=data_dir,
        is_quick=is_quick,
    )
    one_thread()
    with progress() as tell:
        cells = run_supply(options, tell)
    document = supply_document(cells)
    _report(cells, document, is_markdown)
    write_json(json_file, document)
    if plot is not None:
        from services.lab.bench.supply.plot import plot_supply

        plot_supply(cells, plot)


def _report(cells: Sequence[SupplyCell], document: Mapping[str, Any], is_markdown: bool) -> None:
    from services.lab.bench.supply import document as tables
    from services.lab.bench.supply.options import PROMISED

    at = f"{PROMISED:.0%} of time out of SLA"
    for title, rows in (
        (f"node-hours at {at}", tables.matched_rows(cells)),
        (
            f"node-hours where no service has more than {at}",
            tables.matched_rows(cells, "worst_rate"),
        ),
        ("Harmony, told a promise", tables.told_rows(cells)),
        (f"rivals in hindsight, the cheapest setting within {at}", tables.best_rows(cells)),
        ("summary", tables.summary_rows(document)),
    ):
        if rows:
            print_rows(title, rows, is_markdown)
