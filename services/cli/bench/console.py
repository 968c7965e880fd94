"""`harmony bench console`: how soon pages are seen, and what they weigh."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile


def bench_console(
    workloads: Annotated[int, typer.Option(min=1, help="Workloads.")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="Days of rows.")] = 1,
    loads: Annotated[int, typer.Option(min=1, help="Visits of each page.")] = 5,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Visit every page of the console with an empty cache, in Chromium, over a large fleet.

    `paint_ms` is the earliest first contentful paint of the visits, `kb` all that a page loads, on
    the wire, `slowdown` what other work on the machine adds (1: none). A database of
    HARMONY_DATABASE_URL that holds workloads already is shown as it is; otherwise one is filled and
    kept for the next run.
    """
    from services.kernel.settings import get_settings
    from services.lab.bench.console.run import ConsoleOptions, run_console
    from services.lab.bench.forecast.report import markdown

    options = ConsoleOptions(workloads, days, n_loads=loads)
    with console.status("starting") as status:
        document = run_console(options, get_settings(), status.update)
    rows = document["pages"]
    if is_markdown:
        console.print(f"\n{markdown(rows)}\n", soft_wrap=True, markup=False)
    else:
        print_table(f"pages over {workloads} workloads and {days} days", rows)
    write_json(json_file, document)
