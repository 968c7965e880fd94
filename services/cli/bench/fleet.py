"""`harmony bench fleet`: what a cycle costs, by the size of the fleet and of its history."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile
from services.kernel.errors import InvalidInput


def bench_fleet(
    workloads: Annotated[int, typer.Option(min=1, help="Workloads.")] = 1000,
    history_days: Annotated[int, typer.Option(min=1, help="Days that are stored already.")] = 1,
    cycles: Annotated[int, typer.Option(min=1, help="Steps to measure.")] = 5,
    step: Annotated[int, typer.Option(min=1, help="Length of a step in seconds.")] = 60,
    json_file: JsonFile = None,
) -> None:
    """Run whole cycles over a stored history on a database of its own, and measure their CPU time.

    Stages run one after the other in this process; CPU seconds are those of Python and of the
    database together. 200 workloads with a day of 300 s steps take about a minute.
    """
    from services.kernel.db.migrations import migrate
    from services.kernel.db.session import make_engine
    from services.kernel.settings import get_settings
    from services.lab.bench.fleet.run import CycleOptions, run_fleet
    from services.platform.embedded_servers import data_folder, embedded_servers

    if json_file is not None and json_file.is_dir():
        raise InvalidInput(f"--json={json_file}: is a folder; name a file in it")
    options = CycleOptions(workloads, history_days, cycles, step)
    given = get_settings().model_copy(update={"database_url": "", "redis_url": ""})
    name = f"bench-fleet-{os.getpid()}"
    try:
        with console.status("starting") as status, embedded_servers(given, name) as urls:
            settings = given.model_copy(update={"database_url": urls.database_url})
            migrate(make_engine(settings.database_url))
            document = run_fleet(options, settings, status.update)
    finally:
        shutil.rmtree(data_folder(given, name), ignore_errors=True)
    stages = document["cpu_s_per_1000"]
    rows = [{"stage": stage, "CPU-s per 1,000": round(value, 3)} for stage, value in stages.items()]
    total = {"stage": "all", "CPU-s per 1,000": round(sum(stages.values()), 3)}
    title = f"a cycle of {workloads} workloads on {history_days} days of {step} s steps"
    print_table(title, [*rows, total])
    write_json(json_file, document)
