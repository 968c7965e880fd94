"""The prior starts with the hedge and calibration that history would have taught it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from forecaster import ForecasterConfig, Series
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.warm_start import warm_states
from services.forecasting.rows import repository
from services.forecasting.rows.translate import WorkloadRow, forecaster_config
from services.forecasting.training.histories import held_out_steps, load_fleet, load_histories
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.telemetry import get_logger

MAX_WORKLOADS = 64
"""Workloads that one call looks at, since forecasts wait meanwhile; the others of a larger fleet
learn as outcomes come in, or with the first fit."""


def calibrate_prior(app: Forecasting) -> int:
    """Replay the end of each history under the prior, and store what that teaches.

    Nothing is done where a model serves, which starts with its own, and for workloads whose
    forecasts by the prior have taught something already. No parameter of the prior changes.

    Args:
        app: The service.

    Returns:
        Workloads whose calibration was stored.
    """
    config = forecaster_config(app.settings)
    with app.engine.connect() as connection:
        at = app.now(connection)
        serving = app.store.current(connection)
        if serving.ladder.model is not None or serving.ladder.prior is None:
            return 0
        found = {w.key: w for w in load_fleet(connection)}
        all_ids = [w.id for w in found.values()]
        known = repository.load_calibration(connection, all_ids, serving.version)
        new = [w for w in found.values() if w.id not in known]
        series = _taught_by(app, connection, at, config, new)
    if not series:
        return 0
    ladder = replace(serving.ladder, stale_after_steps=app.settings.stale_after_steps)
    rng = make_rng(app.settings.seed, "calibration", serving.version)
    states = warm_states(series, ladder, config, held_out_steps(series, config), rng)
    stored = {found[key].id: one for key, one in states.items()}
    specs = {w.id: w.spec for w in found.values()}
    with unit_of_work(app.engine) as work:
        # outcomes may have taught something meanwhile, which the replay knows nothing of
        repository.lock_scoring(work.connection)
        taught = repository.load_calibration(work.connection, list(stored), serving.version)
        stored = {id_: one for id_, one in stored.items() if id_ not in taught}
        repository.save_calibration(work.connection, serving.version, stored, specs, at)
    get_logger(__name__).info("prior_calibrated", n_workloads=len(stored), version=serving.version)
    return len(stored)


def _taught_by(
    app: Forecasting,
    connection: Connection,
    at: datetime,
    config: ForecasterConfig,
    workloads: Sequence[WorkloadRow],
) -> list[Series]:
    """Histories of the first workloads that have one; those without take no other's place."""
    found: list[Series] = []
    for start in range(0, len(workloads), MAX_WORKLOADS):
        some = workloads[start : start + MAX_WORKLOADS]
        part = load_histories(app, connection, some, at, config)
        found += [one for one in part if one.observed[:, one.demand_index].any()]
        if len(found) >= MAX_WORKLOADS:
            break
    return found[:MAX_WORKLOADS]
