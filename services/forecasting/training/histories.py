"""Histories to train and judge on, from Postgres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import Connection

from forecaster import ForecasterConfig, Series
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows import repository
from services.forecasting.rows.translate import WorkloadRow, to_series, to_workload
from services.kernel.clock import floor_step, last_complete_step
from services.kernel.db.steps.reading import Span
from services.kernel.telemetry import get_logger

HELD_OUT_RATIO = 0.12
"""Share of the history, at its end, that the back-test judges on and training never sees."""
LOAD_CHUNK = 64


def load_fleet(connection: Connection) -> list[WorkloadRow]:
    """Active workloads whose stored spec can be read: one that somebody spoilt stops no others."""
    found: list[WorkloadRow] = []
    for row in repository.load_stored_workloads(connection):
        try:
            found.append(to_workload(row))
        except ValidationError as error:
            get_logger(__name__).warning(
                "left_out_of_fit",
                workload=f"{row.namespace}/{row.name}",
                reason=f"its stored spec cannot be read: {error.errors()[0]['msg']}",
            )
    return found


def load_histories(
    app: Forecasting,
    connection: Connection,
    workloads: Sequence[WorkloadRow],
    now: datetime,
    config: ForecasterConfig,
) -> list[Series]:
    """Histories of some workloads, of those on the most common step length."""
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
    keys = repository.indicator_keys(workloads)
    spans = [Span(first_at, origin_at)]
    samples = repository.load_samples(connection, keys, origin_at, step_s, spans)
    origin_s = int(origin_at.timestamp())
    return [to_series(w, samples, origin_s, n_steps) for w in workloads]


def held_out_steps(series: Sequence[Series], config: ForecasterConfig) -> int:
    """Steps at the end of the histories that training never sees."""
    longest = max((s.n_steps for s in series), default=0)
    return max(round(HELD_OUT_RATIO * longest), 2 * config.window.horizon)
