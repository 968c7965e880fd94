"""Commands of the model registry: `models list`, `show`, `train`, `pretrain`, `promote`, ..."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from services.cli.connection import connected_settings, database_engine, login_name
from services.cli.models.prior import pretrain, show_card
from services.cli.output import console, named, print_json, print_table, read_from
from services.kernel.clock import SystemClock
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.settings import LARGEST_SEED

if TYPE_CHECKING:
    from services.forecasting.forecast.service import Forecasting

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Version = Annotated[str, typer.Argument(help="Version of the model, as `models list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the registry.")]
OUT = Path("model.safetensors")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    models = typer.Typer(
        no_args_is_help=True, help="Forecasting models: look, train, promote, roll back."
    )
    models.command("list")(list_models)
    models.command()(show)
    models.command()(train)
    models.command()(pretrain)
    models.command()(promote)
    models.command("roll-back")(roll_back)
    app.add_typer(models, name="models")


def list_models(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest models to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest models: status and why, age, back-test, size."""
    found = [_summary(row) for row in _load(limit)]
    if as_json:
        print_json(found)
        return
    print_table("Models", [_shown(row) for row in found])


def show(version: Version, as_json: AsJson = False) -> None:
    """Show one model: its figures, and per workload its loss over the best simple forecaster's.

    `prior` is the one that answers before a fit: what it was trained on, and its size.
    """
    if version == "prior" or version.startswith("prior-"):
        show_card(as_json)
        return
    rows = _load(1, version)
    if not rows:
        raise NotFound(f"model version={version!r} does not exist; see `harmony models list`")
    row = rows[0]
    workloads = _workloads(row["metrics"])
    if as_json:
        print_json({**_summary(row), "workloads": workloads, "config": row["config"]})
        return
    lines = "\n".join(f"{key:26} {value}" for key, value in _summary(row).items())
    console.print(Panel(lines, title=Text(f"model {version}"), title_align="left"))
    print_table("Workloads", [_shown_workload(row) for row in workloads])


def train(  # noqa: PLR0913 - one option each
    data: Annotated[
        Path | None,
        typer.Option(
            callback=read_from, help="Train on this trace (docs/traces.md) instead of the database."
        ),
    ] = None,
    demand: Annotated[
        str | None, typer.Option(help="Demand column; default: the metadata JSON beside the file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(callback=named, help=f"With --data: where the model goes (default {OUT})."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was interrupted.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Seed of everything random; default: the setting."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU when there is one), cpu or cuda.")] = (
        "auto"
    ),
    as_json: AsJson = False,
) -> None:
    """Train a model and back-test it on steps that training did not see.

    Without --data: on the active workloads of the database; the model is registered, and promoted
    if it is better than what serves. With --data: on a file; the model is written to --out. Ctrl-C
    keeps the state after the last whole epoch, and --resume goes on from there to the same bytes.
    """
    from services.cli.models.training import train_on_database, train_on_file

    if data is None:
        for name, value in (("--demand", demand), ("--out", out)):
            if value is not None:
                raise InvalidInput(f"{name}={value}: only with --data FILE")
        settings, actor = connected_settings(), _actor()
        found = train_on_database(settings, seed, device, is_resumed=resume, actor=actor)
    else:
        found = train_on_file(data, demand, out or OUT, seed, device, is_resumed=resume)
    if as_json:
        print_json(found)
    else:
        lines = "\n".join(f"{key:26} {value}" for key, value in _flat(found).items())
        console.print(Panel(lines, title=Text(f"model {found['version']}"), title_align="left"))
    if found["status"] == "failed":
        raise typer.Exit(1)


def promote(version: Version, reason: Reason = "promoted by hand", as_json: AsJson = False) -> None:
    """Let a stored model serve, whatever its back-test said."""
    from services.forecasting.training.fit import promote as promote_model

    promote_model(_service(), version, reason, _actor())
    _print_status({"version": version, "status": "promoted", "reason": reason}, as_json)


def roll_back(reason: Reason = "rolled back by hand", as_json: AsJson = False) -> None:
    """Let the model before the present one serve again."""
    from services.forecasting.training.fit import roll_back as roll_back_model

    version = roll_back_model(_service(), reason, _actor())
    _print_status({"version": version, "status": "promoted", "reason": reason}, as_json)


def _actor() -> str:
    """Who is at the command line, as the audit log names them."""
    return f"{login_name()} (command line)"


def _service() -> Forecasting:
    from services.forecasting.deps import make_forecasting
    from services.kernel.jobs import RecordingSender

    settings = connected_settings()
    check_reachable(make_engine(settings.database_url))
    return make_forecasting(settings, RecordingSender())


def _print_status(found: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        console.print(f"{found['version']} serves now ({found['reason']})")


def _load(n_most: int, version: str | None = None) -> list[dict[str, Any]]:
    from services.forecasting.registry.repository import load_models

    with database_engine().connect() as connection:
        return load_models(connection, n_most, version)


_FIGURES = (
    "backtest_skill",
    "backtest_crps",
    "backtest_crps_best_simple",
    "backtest_coverage",
    "n_parameters",
    "n_workloads",
    "n_windows",
    "fit_s",
    "device",
    "n_attempts",
    "reached",
)


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    """A registry row in short; a figure that the fit did not get to is None."""
    metrics = row["metrics"]
    times = ("created_at", "promoted_at", "retired_at")
    age_s = round((SystemClock().now() - row["created_at"]).total_seconds())
    return {
        **{name: row[name] for name in ("id", "version", "status", "reason")},
        "age_s": age_s,
        **{name: row[name] for name in times},
        **{name: metrics.get(name) for name in _FIGURES},
        "n_bytes": row["n_bytes"],
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Columns of the table."""
    coverage = row["backtest_coverage"] or {}
    return {
        "version": row["version"],
        "status": row["status"],
        "age": _age(row["created_at"]),
        "skill": _number(row["backtest_skill"], "+.3f"),
        "CRPS": _number(row["backtest_crps"], ".4f"),
        "below 95 / 99 %": " / ".join(
            _number(coverage.get(level), ".1%") or "–" for level in ("0.95", "0.99")
        ),
        "parameters": _number(row["n_parameters"], ","),
        "workloads": row["n_workloads"],
        "reason": row["reason"],
    }


def _workloads(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Per workload the simple forecaster that stands by, and the model's loss over the best one's.

    The ratio is None where nothing was observed to compare on, and in older models. The reason says
    why a workload was not trained on.
    """
    ratios, picks = metrics.get("ratios", {}), metrics.get("picks", {})
    skipped = metrics.get("skipped", {})
    return [
        {
            "workload": name,
            "ratio": ratios.get(name),
            "best simple": picks.get(name),
            "reason": skipped.get(name, ""),
        }
        for name in sorted({*ratios, *skipped, *picks})
    ]


def _shown_workload(row: dict[str, Any]) -> dict[str, Any]:
    """Columns of the table."""
    return {
        "workload": row["workload"],
        "model / best simple": _number(row["ratio"], ".3f"),
        "best simple": row["best simple"],
        "reason": row["reason"],
    }


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """Figures that fit on one line each; lists and tables are left out."""
    return {key: value for key, value in found.items() if not isinstance(value, dict | list)}


def _number(value: float | None, style: str) -> str | None:
    return None if value is None else format(value, style)


def _age(at: datetime) -> str:
    """Time since `at` in its largest unit; a dash for a time to come (a replay's clock)."""
    age_s = (SystemClock().now() - at).total_seconds()
    if age_s < 0:
        return "–"
    for unit_s, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if age_s >= unit_s:
            return f"{age_s / unit_s:.0f} {name}"
    return f"{age_s:.0f} s"
