"""`harmony bench ingest`: what an observation costs on its way in."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile, Seed
from services.kernel.errors import InvalidInput


def bench_ingest(  # noqa: PLR0913 - one option each
    protocol: Annotated[str, typer.Option(help="push or remote-write.")] = "push",
    series_per_request: Annotated[int, typer.Option(min=1, help="Series of one request.")] = 2000,
    samples_per_series: Annotated[int, typer.Option(min=1, help="Samples of each.")] = 1,
    requests: Annotated[int, typer.Option(min=1, help="Requests that are counted.")] = 200,
    workloads: Annotated[int, typer.Option(min=1, help="Workloads, of 8 indicators.")] = 2000,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Send observations over HTTP to the push API, into a Postgres of its own, and measure both.

    Counted is processor time of the API's process and of Postgres, so that what else the machine
    does hardly changes it. All series are sent once before. In the end the rows are counted and
    added up in SQL, and the same rows are written by a bare COPY, as a measure of the machine.
    """
    from services.kernel.settings import get_settings
    from services.lab.bench.ingest.bodies import PROTOCOLS
    from services.lab.bench.ingest.run import IngestOptions, run_ingest
    from services.platform.embedded_servers import data_folder

    if protocol not in PROTOCOLS:
        raise InvalidInput(f"--protocol={protocol}: must be one of {', '.join(PROTOCOLS)}")
    options = IngestOptions(
        protocol, series_per_request, samples_per_series, requests, workloads, seed
    )
    settings = get_settings().model_copy(update={"database_url": "", "redis_url": ""})
    name = f"bench-ingest-{os.getpid()}"
    try:
        with console.status("starting") as status:
            document = run_ingest(options, settings, name, status.update)
    finally:
        shutil.rmtree(data_folder(settings, name), ignore_errors=True)
    arms = {"over HTTP": document, "bare COPY": document["bare_copy"]}
    rows = [
        {
            "": arm,
            "Python, CPU-s a million": round(found["cpu_s_per_million"]["python"], 2),
            "Postgres, CPU-s a million": round(found["cpu_s_per_million"]["postgres"], 2),
            "a second and core": round(found["per_s_and_core"]),
        }
        for arm, found in arms.items()
    ]
    print_table(f"{protocol}, {series_per_request} series of {samples_per_series}", rows)
    counted = ("sent", "accepted", "stored", "duplicates", "rejected", "is_stored_as_sent")
    print_table("observations", [{name: document[name] for name in counted}])
    write_json(json_file, document)
