"""Training from the command line: on the database or on a file, with progress, interruptible."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from forecaster import (
    CheckpointError,
    FitProgress,
    FitResult,
    ForecasterConfig,
    ForecasterError,
    Series,
    fit,
    model_to_bytes,
)
from services.forecasting.deps import make_forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.rows.translate import forecaster_config, json_safe
from services.forecasting.training.device import choose_device
from services.forecasting.training.fit import BUSY, fit_models, progress_of
from services.forecasting.training.histories import held_out_steps
from services.forecasting.training.verdict import judge_fit
from services.kernel.clock import SystemClock
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import Conflict, InvalidInput, NotFound
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import AuditEntry, append_audit
from services.kernel.settings import Settings, get_settings
from services.kernel.whole_files import write_whole
from services.lab.bench.forecast.task import Protocol, load_task
from services.platform.stop_signals import ending_on_signals

STATE_SUFFIX = ".state"
Tell = Callable[[str, float], None]


def train_on_database(
    settings: Settings, seed: int | None, device: str, *, is_resumed: bool, actor: str = ""
) -> dict[str, Any]:
    """Fit on the active workloads and register the model, as the `fit` queue does.

    Args:
        settings: Settings.
        seed: Seed of everything random; None: that of the settings.
        device: `auto`, `cpu` or `cuda`.
        is_resumed: Go on with the fit that was interrupted.
        actor: Who asks, for the audit log; empty: nobody does.

    Raises:
        NotFound: There is no interrupted fit to go on with.
        Conflict: Another fit is running.
        InvalidInput: The device does not exist.
    """
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    check_reachable(make_engine(settings.database_url))
    app = make_forecasting(settings, RecordingSender())
    if is_resumed:
        with app.engine.connect() as connection:
            if registry.load_training(connection) is None:
                raise NotFound("--resume: no fit was interrupted; leave --resume out")
    command = "harmony models train --resume" + (f" --seed {seed}" if seed is not None else "")
    hint = f"the database keeps the last whole epoch; go on with `{command}`"
    with interruptible(lambda: hint), progress_shown() as report:
        outcome = fit_models(app, report, is_fresh=not is_resumed, device=device)
    if outcome.status == BUSY:
        raise Conflict(outcome.reason)
    if actor:
        after = {"status": outcome.status, "reason": outcome.reason, "seed": settings.seed}
        name = f"model/{outcome.version}"
        with app.engine.begin() as connection:
            entry = AuditEntry(SystemClock().now(), actor, "model.train", name, None, after)
            append_audit(connection, entry)
    head = {"version": outcome.version, "status": outcome.status, "reason": outcome.reason}
    return {**head, **outcome.metrics}


def train_on_file(
    data: Path,
    demand: str | None,
    out: Path,
    seed: int | None,
    device: str,
    *,
    is_resumed: bool,
) -> dict[str, Any]:
    """Train on a trace and write the model; the last 12 % of the steps judge it.

    Raises:
        InvalidInput: The file, the folder of `out`, the state to go on from or the device cannot
            be used, or the trace cannot be trained on.
    """
    settings = get_settings()
    torch.set_num_threads(settings.torch_threads)
    chosen = choose_device(device)
    if not out.parent.is_dir():
        raise InvalidInput(f"--out={out}: its folder does not exist")
    state_file = out.with_name(out.name + STATE_SUFFIX)
    state = read_state(state_file) if is_resumed else None
    task = load_task(data, Protocol.PANEL, demand=demand)
    config = forecaster_config(settings)
    run = _FileTraining(list(task.series), config, settings.seed if seed is None else seed)
    if not is_resumed:
        state_file.unlink(missing_ok=True)  # of an older training, which this one replaces

    def hint() -> str:
        if not state_file.exists():
            return "nothing was kept, as the first epoch had not ended"
        command = _command(data, demand, out, seed)
        return f"{state_file} keeps the last whole epoch; go on with `{command}`"

    with interruptible(hint), progress_shown() as report:
        try:
            result, verdict = run.trained(state, state_file, chosen, report)
        except CheckpointError as error:
            raise InvalidInput(f"--resume: {state_file}: {error}") from error
        except ForecasterError as error:
            raise InvalidInput(f"{data.name}: {error}") from error
    raw = model_to_bytes(result.model)
    write_whole(out, raw)
    state_file.unlink(missing_ok=True)
    return {
        "version": result.model.version,
        "status": "better" if verdict.is_better else "not better",
        "reason": verdict.reason,
        "out": str(out),
        "n_bytes": len(raw),
        "data": task.data,
        "seed": run.seed,
        "device": chosen,
        "left_out": task.skipped,
        **json_safe(verdict.metrics),
    }


class _FileTraining:
    """One training on the series of a file."""

    def __init__(self, series: list[Series], config: ForecasterConfig, seed: int) -> None:
        self.series, self.config, self.seed = series, config, seed

    def trained(
        self, state: bytes | None, state_file: Path, device: str, report: Tell
    ) -> tuple[FitResult, Any]:
        """The fit, and the verdict on it."""
        n_held = held_out_steps(self.series, self.config)

        def report_progress(line: FitProgress) -> None:
            report(*progress_of(line))

        result = fit(
            [one.head(one.n_steps - n_held) for one in self.series],
            self.config,
            self.seed,
            on_progress=report_progress,
            resume=state,
            on_checkpoint=lambda raw: write_whole(state_file, raw),
            device=device,
        )
        report("back-test", 0.9)
        verdict = judge_fit(self.series, result, None, n_held, self.seed)
        report("done", 1.0)
        return result, verdict


def _command(data: Path, demand: str | None, out: Path, seed: int | None) -> str:
    options = f" --demand {demand}" if demand is not None else ""
    options += f" --seed {seed}" if seed is not None else ""
    return f"harmony models train --data {data} --out {out}{options} --resume"


def read_state(state_file: Path) -> bytes:
    """State that an interrupted training left.

    Raises:
        InvalidInput: There is none.
    """
    try:
        return state_file.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"--resume: {state_file} cannot be read ({error.strerror}); an interrupted training "
            "leaves it beside --out"
        ) from error


@contextmanager
def interruptible(hint: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command with the way to go on."""
    try:
        with ending_on_signals():
            yield
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:
        code = int(error.code or 0)
    else:
        return
    print(f"harmony: stopped; {hint()}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def progress_shown() -> Iterator[Tell]:
    """A bar on stderr, so that stdout holds the result alone; in a log, one line per epoch."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line, _share: console.print(line, highlight=False)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=1.0)
        yield lambda line, share: progress.update(task, description=line, completed=share)
