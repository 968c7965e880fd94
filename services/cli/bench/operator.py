"""`harmony bench operator`: what the operator costs and how fast it is on a large fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile, Seed


def bench_operator(  # noqa: PLR0913 - one option each
    autoscalers: Annotated[int, typer.Option(min=1, help="GPUAutoscalers, two pods each.")] = 5000,
    idle: Annotated[float, typer.Option(min=1, help="Seconds to watch it idle.")] = 60.0,
    decisions: Annotated[
        int, typer.Option(min=1, help="Decisions that arrive one at a time.")
    ] = 400,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between passes.")] = 5.0,
    seed: Seed = 7,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Run the operator on a simulated fleet, in processes of their own, and measure it.

    Start-up, a pass with everything new, idle, a new decision for everyone at once, then decisions
    one at a time: from their commit to the patched scale as a watcher sees it. 5000 GPUAutoscalers
    take about 7 minutes on two cores.
    """
    from services.kernel.settings import get_settings
    from services.lab.bench.forecast.report import markdown
    from services.lab.bench.operator.report import rows
    from services.lab.bench.operator.run import OperatorOptions, run_operator

    options = OperatorOptions(autoscalers, idle, decisions, interval_s=interval, seed=seed)
    with console.status("starting") as status:
        document = run_operator(options, get_settings(), status.update)
    if is_markdown:
        console.print(f"\n{markdown(rows(document))}\n", soft_wrap=True, markup=False)
    else:
        print_table(f"the operator with {autoscalers} GPUAutoscalers", rows(document))
    write_json(json_file, document)
