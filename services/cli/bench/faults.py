"""`harmony bench faults`: the whole platform under load and faults, and what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import console, folder, print_table, write_json
from services.cli.study_commands import JsonFile, Seed


def bench_faults(  # noqa: PLR0913 - one option each
    seed: Seed = 7,
    minutes: Annotated[
        float | None, typer.Option(min=0.5, help="Time that the faults are spread over.")
    ] = None,
    faults: Annotated[int, typer.Option(min=1, help="How many faults.")] = 40,
    workloads: Annotated[int, typer.Option(min=3, max=200, help="Size of the fleet.")] = 24,
    step: Annotated[int, typer.Option(min=2, max=60, help="Length of a step in seconds.")] = 5,
    old: Annotated[
        str | None,
        typer.Option(help="Code that an upgrade begins with: a folder, or a revision in git."),
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(callback=folder, help="Leave the processes' logs in this folder.")
    ] = None,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Let a seeded schedule of faults strike the platform under load, then check what must hold.

    It runs as under `harmony up`, with a simulated cluster, its own servers and a folder of its
    own, which are gone afterwards. No decision may be lost or made twice, no scaling may be without
    a record or out of its bounds. Ends with status 1 where something did not hold.
    Without --minutes the faults have 23 s each. docs/benchmarks/faults.md explains it.
    """
    from services.kernel.settings import get_settings
    from services.lab.bench.faults.report import is_kept, rows
    from services.lab.bench.faults.run import FaultOptions, run_faults
    from services.lab.bench.forecast.report import markdown

    length = minutes if minutes is not None else faults * SECONDS_PER_FAULT / 60.0
    options = FaultOptions(seed, length, faults, workloads, step, old)
    with console.status("starting") as status:
        document = run_faults(options, get_settings(), status.update, _say, logs)
    table = rows(document)
    if is_markdown:
        console.print(f"\n{markdown(table)}\n", soft_wrap=True, markup=False)
    else:
        print_table(f"{faults} faults, seed {seed}", table)
    for line in document["offending"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if document["not_bitten"]:
        console.print(f"did not bite: {', '.join(document['not_bitten'])}", markup=False)
    write_json(json_file, document)
    if not is_kept(document):
        raise typer.Exit(1)


SECONDS_PER_FAULT = 23.0


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
