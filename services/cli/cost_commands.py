"""Commands of what GPUs cost: `advise` beside what Harmony would have done, `showback` by team."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import connected_settings
from services.cli.output import console, named, print_table, streamed, write_json
from services.cli.workload_filter import Name, Namespace, place_of
from services.kernel.domain.figures import fixed
from services.kernel.errors import InvalidInput
from services.kernel.settings import LARGEST_SEED
from services.kernel.whole_files import write_whole

if TYPE_CHECKING:
    from services.admin.showback.schemas import Showback
    from services.advisory.report import AdvisoryReport

Since = Annotated[str, typer.Option(help="How far back: hours, days or weeks, e.g. 36h, 7d.")]
Seed = Annotated[
    int,
    typer.Option(min=0, max=LARGEST_SEED, help="Seed of stated start-up times and of intervals."),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", callback=streamed, help="Write the figures to this file; -: stdout."),
]
CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", callback=streamed, help="Write a line each to this file; -: stdout."),
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", callback=named, help="Write a page to this file.")
]
By = Annotated[
    str, typer.Option(help="What names a team: namespace, or label=NAME of the GPUAutoscalers.")
]
LONGEST = timedelta(days=93)
"""As far back as a report or a sum of costs may go: the bound of showback over REST."""
NONE_YET = "no workload is scaled by somebody else; set mode: Advisory to compare first"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(advise)
    app.command()(showback)


def advise(  # noqa: PLR0913 - one option each
    name: Name = "",
    namespace: Namespace = "",
    since: Since = "7d",
    seed: Seed = 7,
    json_file: JsonFile = None,
    html: HtmlFile = None,
    csv: CsvFile = None,
) -> None:
    """Say what services cost and broke that an HPA, KEDA or nobody scales, and what Harmony would.

    Harmony's side is what it decided at the time, in Advisory mode or beside another autoscaler,
    carried out in the simulator of `harmony backtest` with the start-up times that were measured.
    Time in which it decided nothing is unknown and left out of both sides. Shares out of SLA are
    measured where requests are counted, else believed; of counts that never ran they are believed.
    """
    from services.advisory.page import notes, table_rows, write_report
    from services.advisory.report import to_csv, to_json
    from services.advisory.service import AdvisoryQuery
    from services.platform.costs import advise as load_report
    from services.simulator.measurements.prometheus import length_of

    length = length_of(since, LONGEST)
    query = AdvisoryQuery(length, *place_of(namespace, name), seed)
    found = load_report(connected_settings(), query)
    if not _is_stdout(json_file, csv):
        print_table(
            f"{found.from_at:%Y-%m-%d %H:%M} to {found.to_at:%Y-%m-%d %H:%M} UTC", table_rows(found)
        )
        _print_verdicts(found)
        for line in notes(found):
            console.print(line, markup=False, highlight=False)
    write_json(json_file, to_json(found))
    _write_text(csv, to_csv(found))
    if html is not None:
        write_report(found, html)


def showback(
    by: By = "namespace",
    namespace: Namespace = "",
    since: Since = "7d",
    json_file: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """Show dollars and GPU-hours per team, by namespace or by a label, of all workloads.

    The sums are those of the stored costs of steps. Workload-hours of which the cost is not known
    are counted beside them, never as zero. Labels are those of now, for the whole time.
    """
    from services.platform.costs import showback as load_showback
    from services.simulator.measurements.prometheus import length_of

    found, lines = load_showback(connected_settings(), by, length_of(since, LONGEST), namespace)
    if not _is_stdout(json_file, csv):
        _print_showback(found)
    write_json(json_file, found.model_dump(mode="json"))
    _write_text(csv, lines)


def _is_stdout(json_file: Path | None, csv: Path | None) -> bool:
    """A document goes to stdout, so nothing else may.

    Raises:
        InvalidInput: Two do.
    """
    to_stdout = [file for file in (json_file, csv) if file is not None and str(file) == "-"]
    if len(to_stdout) > 1:
        raise InvalidInput("--json=- and --csv=-: only one of both can go to stdout; name a file")
    return bool(to_stdout)


def _write_text(path: Path | None, text: str) -> None:
    if path is None:
        return
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    write_whole(path, text)


def _print_verdicts(found: AdvisoryReport) -> None:
    from services.advisory.page import fleet_verdict, service_notes

    if not found.services:
        console.print(NONE_YET)
        return
    console.print(f"All together: {fleet_verdict(found)}", markup=False, soft_wrap=True)
    for one in found.services:
        line = f"{one.workload}: {one.verdict} {service_notes(one)}".rstrip()
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_showback(found: Showback) -> None:
    rows = [
        {
            "team": "(no label)" if one.team is None else one.team,
            "workloads": one.n_workloads,
            "GPU-hours": None if one.gpu_hours is None else fixed(one.gpu_hours, 1, 1),
            "cost USD": None if one.cost_usd is None else fixed(one.cost_usd),
            "unknown, h": fixed(one.unmeasured_hours, 1, 1),
        }
        for one in found.teams
    ]
    print_table(
        f"By {found.by}, {found.from_at:%Y-%m-%d %H:%M} to {found.to_at:%Y-%m-%d %H:%M} UTC", rows
    )
    total = "not known" if found.cost_usd is None else f"{fixed(found.cost_usd)} USD"
    unknown = fixed(found.unmeasured_hours, 1, 1)
    console.print(f"Together: {total}; {unknown} workload-hours are unknown.")
