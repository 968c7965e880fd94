"""`harmony bench api`: how fast the REST API answers over a week of a large fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile, Seed


def bench_api(  # noqa: PLR0913 - one option each
    workloads: Annotated[int, typer.Option(min=1, help="Workloads.")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="Days of rows.")] = 7,
    step: Annotated[int, typer.Option(min=10, help="Seconds of a step.")] = 300,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second.")] = 100.0,
    duration: Annotated[float, typer.Option(min=1, help="Seconds of requests.")] = 30.0,
    seed: Seed = 7,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Fill a database with a fleet's rows, serve it, and ask at a steady rate.

    Before that each endpoint is asked alone: `alone_ms` is the shortest answer, `cpu_ms` the
    processor time of the API for one, which what else the machine does hardly changes. Server,
    database and client share this machine. A database of HARMONY_DATABASE_URL that holds workloads
    already is asked as it is; otherwise a thousand workloads and seven days take some minutes to
    write, and about 8 GB.
    """
    from services.kernel.settings import get_settings
    from services.lab.bench.api.run import ApiOptions, run_api
    from services.lab.bench.forecast.report import markdown

    options = ApiOptions(workloads, days, step, rate, duration, seed)
    with console.status("starting") as status:
        document = run_api(options, get_settings(), status.update)
    rows = document["endpoints"]
    if is_markdown:
        console.print(f"\n{markdown(rows)}\n", soft_wrap=True, markup=False)
    else:
        print_table(f"{rate:g} requests/s over {workloads} workloads and {days} days", rows)
    write_json(json_file, document)
