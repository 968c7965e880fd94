"""Commands that run the platform and look at all of it: from `demo` to `status`, `headroom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.output import console, named, print_json, print_table, read_from
from services.cli.workload_filter import Name, Namespace, chosen
from services.kernel.settings import LARGEST_SEED, get_settings

_TRUTH_HELP = (
    "What a replica bears: a response that no policy is told (served, the default), or what is "
    "stated (of a trace of yours always, since it tells no requests)."
)
Truth = Annotated[Literal["served", "stated"] | None, typer.Option(help=_TRUTH_HELP)]
DemoPort = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of API and console; 0: any free one.")
]
Generated = Annotated[
    bool, typer.Option("--generated", help="Replay a made-up fleet instead of real demand.")
]
DemoWorkloads = Annotated[
    int | None, typer.Option(min=1, max=200, help="Workloads (22, generated 24; --quick 8).")
]
DemoStep = Annotated[
    int | None, typer.Option(min=60, max=3600, help="Step in seconds (600, generated 300).")
]
DemoReport = Annotated[Path, typer.Option(callback=named, help="Where the HTML report goes.")]
DemoJson = Annotated[
    Path | None,
    typer.Option("--json", callback=named, help="Also write the scoreboard to this file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(demo)
    app.command()(up)
    app.command()(worker)
    app.command()(beat)
    app.command()(migrate)
    app.command()(status)
    app.command()(headroom)


def demo(  # noqa: PLR0913 - one option each
    data: Annotated[
        Path | None,
        typer.Option(callback=read_from, help="Replay this trace (docs/traces.md) instead."),
    ] = None,
    generated: Generated = False,
    demand: Annotated[
        str | None, typer.Option(help="Demand column; default: the metadata JSON beside the file.")
    ] = None,
    workloads: DemoWorkloads = None,
    hours: Annotated[float, typer.Option(min=1, max=168, help="Simulated hours to replay.")] = 24.0,
    step: DemoStep = None,
    risk: Annotated[
        float, typer.Option(help="Promise: at most this share of time out of SLA (0–1).")
    ] = 0.01,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of everything random.")
    ] = 7,
    quick: Annotated[
        bool, typer.Option("--quick", help="8 workloads, 10-minute steps, ten days of history.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Serve API and console until Ctrl-C.")
    ] = True,
    report: DemoReport = Path("out/report.html"),
    json_file: DemoJson = None,
    port: DemoPort = 8080,
    truth: Truth = None,
) -> None:
    """Run the whole platform on a simulated GPU cluster and score it against its rivals.

    Starts Postgres, a Redis-protocol server, Celery workers, the APIs and the operator on this
    machine, replays a day of real demand of LLM services (or of a trace of yours, or of a generated
    fleet) in lockstep through the real pipeline, and compares what requests felt and what it cost
    with tuned HPA, trailing percentile, static peak and an oracle on identical demand.
    """
    from services.lab.demo.options import DemoOptions
    from services.lab.demo.run import run_demo

    options = DemoOptions.from_command_line(
        data=data,
        demand=demand,
        n_workloads=workloads,
        hours=hours,
        step_s=step,
        epsilon=risk,
        seed=seed,
        is_quick=quick,
        serve=serve,
        report=report,
        json_file=json_file,
        port=port,
        truth=truth,
        is_generated=generated,
    )
    run_demo(options, get_settings(), console)


def up(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of API and console.")
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Cluster to look after; default: a simulated one in real time."),
    ] = None,
    has_scaler: Annotated[
        bool,
        typer.Option("--scaler", help="Serve KEDA's external scaler too, on HARMONY_SCALER_PORT."),
    ] = False,
) -> None:
    """Run the platform on this machine until Ctrl-C.

    Postgres and Redis are embedded unless HARMONY_DATABASE_URL and HARMONY_REDIS_URL are set.
    """
    from services.lab.cluster.start import start_cluster_with_definitions
    from services.platform.up import UpOptions, run_up

    options = UpOptions(port, kubeconfig, has_scaler)
    run_up(get_settings(), options, console, start_cluster_with_definitions)


def worker(
    queues: Annotated[
        str | None, typer.Option(help="Queues to serve, comma-separated; default: all.")
    ] = None,
    pool: Annotated[
        Literal["solo", "prefork"],
        typer.Option(help="Celery pool: one task at a time, or several."),
    ] = "solo",
    concurrency: Annotated[int, typer.Option(min=1, help="Processes of the prefork pool.")] = 1,
) -> None:
    """Run a Celery worker (queues: ingest, forecast, decide, fit)."""
    from services.kernel.telemetry import configure_logging
    from services.worker.run import run_worker

    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    served = settings.model_copy(update={"queues": queues or settings.queues})
    run_worker(served, pool, concurrency)


def beat() -> None:
    """Run Celery beat: the periodic sweeps, pulls, refits and clean-ups."""
    from services.kernel.telemetry import configure_logging
    from services.worker.run import run_beat

    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    run_beat(settings)


def migrate(as_json: AsJson = False) -> None:
    """Bring the database (HARMONY_DATABASE_URL) to the newest schema.

    One that a newer version has migrated stays as it is: that is no error where its schema serves
    this version too.
    """
    from services.cli.connection import database_engine
    from services.kernel.db.migrations import migrate as run_migrations, see_schema

    engine = database_engine()
    revision = run_migrations(engine)
    if as_json:
        print_json({"revision": revision})
    else:
        console.print(see_schema(engine).message, soft_wrap=True)


def status(name: Name = "", namespace: Namespace = "", as_json: AsJson = False) -> None:
    """Show the fleet: replicas, promise, what is measured and believed, rung and last reason."""
    from services.cli.connection import connected_settings, database_engine
    from services.kernel.clock import make_clock
    from services.platform.repository import load_status

    settings, engine = connected_settings(), database_engine()
    clock = make_clock(settings.clock, settings.redis_url)
    rows = chosen(load_status(engine, clock), namespace, name)
    if as_json:
        print_json(rows)
    else:
        ranges = ("measured_low", "measured_high", "budget_left_low", "budget_left_high")
        unused = {name for name in ranges if all(row[name] is None for row in rows)}
        print_table("Workloads", [{k: v for k, v in r.items() if k not in unused} for r in rows])


def headroom(as_json: AsJson = False) -> None:
    """Show how many GPUs to have ready for what may be needed while a node starts, and why.

    Of GPU types to which nodes are added: `gpus` to have ready and how many are free, what they
    cost, and the chance of a need that nothing is free for, without and with them.
    """
    from services.cli.connection import database_engine
    from services.platform.repository import load_headroom

    rows = load_headroom(database_engine())
    if as_json:
        print_json(rows)
    else:
        print_table("Headroom", rows)
