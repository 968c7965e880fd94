"""Train a model on what Postgres holds, and promote it only when a back-test says so."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from forecaster.backtest import MODEL, Gate, backtest
from forecaster.baselines import POOLS, Baseline
from forecaster.checkpoint import to_bytes
from forecaster.config import ForecasterConfig
from forecaster.errors import ForecasterError
from forecaster.fit import FitProgress, FitReport, FitResult, fit
from forecaster.predict import TrainedModel
from forecaster.types import Predictor, Series
from services.forecasting import repository
from services.forecasting import repository_models as registry
from services.forecasting.repository import Span
from services.forecasting.repository_models import NewModel
from services.forecasting.service import Forecasting
from services.forecasting.translate import WorkloadRow, forecaster_config, json_safe, to_series
from services.kernel import telemetry
from services.kernel.clock import floor_step, last_complete_step, make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.errors import Conflict, NotFound

HELD_OUT_RATIO = 0.12
"""Share of the history, at its end, that the back-test judges on and training never sees."""
LOAD_CHUNK = 64


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """Result of one fit: the registry row's version, status and reason."""

    version: str
    status: str
    reason: str
    metrics: Mapping[str, Any]


Progress = Callable[[str, float], None]
"""Called with a line of text and the share done, 0..1."""


def fit_models(app: Forecasting, on_progress: Progress | None = None) -> FitOutcome:
    """Train on all active workloads, back-test on held-out steps, register, promote if better.

    A fit that cannot be made (too little history, divergence) is registered as failed with its
    reason, and whatever served before goes on serving.
    """
    tell = on_progress or (lambda _text, _share: None)
    config = forecaster_config(app.settings)
    now = app.clock.now()
    with app.engine.connect() as connection:
        series = load_histories(app, connection, now, config)
        incumbent = app.store.current(connection).ladder.model
    tell(f"{len(series)} histories loaded", 0.05)
    n_held = _held_out_steps(series, config)
    started = time.monotonic()
    try:
        result = fit(
            [s.head(s.n_steps - n_held) for s in series],
            config,
            app.settings.seed,
            on_progress=lambda line: _report(app, line, started, tell),
        )
        tell("back-test", 0.9)
        outcome, artifact = _judge(app, series, result, incumbent, n_held)
    except ForecasterError as error:
        outcome, artifact = _failed(app, error), None
    _register(app, outcome, artifact, config, now)
    telemetry.model_promotions_total.labels(outcome.status).inc()
    tell(f"{outcome.version}: {outcome.status}, {outcome.reason}", 1.0)
    return outcome


def load_histories(
    app: Forecasting, connection: Connection, now: datetime, config: ForecasterConfig
) -> list[Series]:
    """Histories of the active workloads on the most common step length."""
    workloads = repository.load_workloads(connection)
    if not workloads:
        return []
    step_s = Counter(w.step_s for w in workloads).most_common(1)[0][0]
    chosen = [w for w in workloads if w.step_s == step_s]
    origin_at = last_complete_step(now, step_s)
    n_steps = app.settings.fit_max_steps
    series: list[Series] = []
    for start in range(0, len(chosen), LOAD_CHUNK):
        chunk = chosen[start : start + LOAD_CHUNK]
        series += _load_chunk(connection, chunk, origin_at, n_steps)
    return [s for s in series if s.n_steps > config.window.horizon]


def _load_chunk(
    connection: Connection, workloads: Sequence[WorkloadRow], origin_at: datetime, n_steps: int
) -> list[Series]:
    step_s = workloads[0].step_s
    first_at = floor_step(origin_at, step_s) - timedelta(seconds=(n_steps - 1) * step_s)
    pairs = repository.indicator_pairs(workloads)
    spans = [Span(first_at, origin_at)]
    samples = repository.load_samples(connection, pairs, origin_at, step_s, spans)
    origin_s = int(origin_at.timestamp())
    return [to_series(w, samples, origin_s, n_steps) for w in workloads]


def _held_out_steps(series: Sequence[Series], config: ForecasterConfig) -> int:
    longest = max((s.n_steps for s in series), default=0)
    return max(round(HELD_OUT_RATIO * longest), 2 * config.window.horizon)


def _report(app: Forecasting, line: FitProgress, started: float, tell: Progress) -> bool:
    """Pass progress on; false once the time budget of a fit is spent."""
    done = line.epoch / line.n_epochs
    share = 0.1 + 0.6 * done if line.stage == "marginals" else 0.7 + 0.2 * done
    tell(
        f"{line.stage} {line.epoch}/{line.n_epochs}: train {line.train_loss:.4f}, "
        f"validation {line.validation_loss:.4f}",
        share,
    )
    return time.monotonic() - started < app.settings.fit_budget_s


def _judge(
    app: Forecasting,
    series: Sequence[Series],
    result: FitResult,
    incumbent: TrainedModel | None,
    n_held: int,
) -> tuple[FitOutcome, bytes]:
    """Back-test the fitted model against the simple forecasters and the incumbent."""
    config = result.model.config
    names = {s.workload for s in series}
    simple: dict[str, Predictor] = {name: Baseline(name, config.window) for name in POOLS}
    rng = make_rng(app.settings.seed, "backtest", result.model.version)
    gate = backtest(series, {MODEL: result.model, **simple}, config, rng, n_last=n_held)
    reason = f"back-test skill {gate.skill:+.3f} against the best simple forecaster per workload"
    is_better = gate.skill > 0
    if is_better and incumbent is not None and incumbent.config.window == config.window:
        old = backtest(series, {MODEL: incumbent, **simple}, config, rng, n_last=n_held)
        is_better = gate.skill > old.skill
        reason += f", incumbent {incumbent.version} has {old.skill:+.3f}"
    status = registry.PROMOTED if is_better else registry.SHADOW
    metrics = json_safe(_metrics(result.report, gate, len(names)))
    return FitOutcome(result.model.version, status, reason, metrics), to_bytes(result.model)


def _metrics(report: FitReport, gate: Gate, n_workloads: int) -> dict[str, Any]:
    return {
        "n_workloads": n_workloads,
        "n_windows": report.n_windows,
        "n_parameters": report.n_parameters,
        "epochs": report.epochs,
        "validation_crps": report.crps,
        "validation_crps_best_simple": report.crps_best_simple,
        "flow_gain_nats": report.flow_gain,
        "backtest_crps": gate.crps_model,
        "backtest_crps_best_simple": gate.crps_simple,
        "backtest_skill": gate.skill,
        "skipped": report.skipped,
        "picks": {w: _best_simple(gate, w, pick) for w, pick in report.picks.items()},
        "rungs": gate.rungs,
        "reasons": gate.reasons,
    }


def _best_simple(gate: Gate, workload: str, validation_pick: str) -> str:
    """The simple forecaster with the best back-test; the validation pick where there is none."""
    row = {name: s for name, s in gate.scores.get(workload, {}).items() if name != MODEL}
    return min(row, key=lambda name: row[name].gate) if row else validation_pick


def _failed(app: Forecasting, error: ForecasterError) -> FitOutcome:
    stamp = app.clock.now().strftime("%Y%m%dT%H%M%S%f")
    return FitOutcome(f"failed-{stamp}", registry.FAILED, f"{type(error).__name__}: {error}", {})


def _register(
    app: Forecasting,
    outcome: FitOutcome,
    artifact: bytes | None,
    config: ForecasterConfig,
    at: datetime,
) -> None:
    status = registry.SHADOW if outcome.status == registry.PROMOTED else outcome.status
    model = NewModel(
        outcome.version,
        status,
        outcome.reason,
        config.to_dict(),
        dict(outcome.metrics),
        artifact,
    )
    with unit_of_work(app.engine) as work:
        model_id = registry.insert_model(work.connection, model, at)
        if model_id is not None and outcome.status == registry.PROMOTED:
            registry.set_promoted(work.connection, model_id, outcome.reason, at)


def promote(app: Forecasting, version: str, reason: str) -> None:
    """Make a stored model serve, whatever its back-test said (an operator's choice).

    Raises:
        NotFound: No model has this version.
        Conflict: It already serves, or failed and has no parameters.
    """
    with unit_of_work(app.engine) as work:
        row = registry.load_by_version(work.connection, version)
        if row is None:
            raise NotFound(f"model version={version!r} does not exist")
        if row.status in (registry.PROMOTED, registry.FAILED):
            raise Conflict(f"model {version!r} is {row.status}; a shadow or retired one is right")
        registry.set_promoted(work.connection, row.id, reason, app.clock.now())


def roll_back(app: Forecasting, reason: str) -> str:
    """Make the model before the present one serve again; returns its version.

    Raises:
        NotFound: No model served before.
    """
    with unit_of_work(app.engine) as work:
        row = registry.load_last_retired(work.connection)
        if row is None:
            raise NotFound("no model served before the present one; nothing to roll back to")
        registry.set_promoted(work.connection, row.id, f"rolled back: {reason}", app.clock.now())
        return row.version
