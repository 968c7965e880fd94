"""Use case: headroom of every GPU type to which nodes are added, advised once a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, RowMapping

from decider import learn_dependence
from services.decision.budgets.budgets import gpus_left
from services.decision.headroom import repository
from services.decision.headroom.advice import Dependence, TypeNeeds, to_advice, to_scores
from services.decision.wiring import DecisionDeps
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work

log = structlog.get_logger("decision")

LEARNED_EVERY = timedelta(hours=1)
N_LEARNED_STEPS, N_LEARNED_SERVICES = 288, 50
"""Newest steps, and services with the most GPUs, that dependence is learned from."""


def advise_headroom(deps: DecisionDeps) -> int:
    """Advise on every type that is due; returns how many.

    Each type has a transaction of its own: one that cannot be advised on keeps no other from it.
    One before it reads what is left of its budget, which is locked no longer than that takes.
    """
    step = timedelta(seconds=deps.settings.step_s)
    with unit_of_work(deps.engine) as work:
        now = deps.now(work.connection)
        oldest = now - step * deps.settings.stale_after_steps
        repository.drop_advice(work.connection, now)
        due = repository.load_due(work.connection, now - step, oldest)
    n_advised = 0
    for supply in due:
        try:
            cluster_id, gpu_type = int(supply["cluster_id"]), str(supply["gpu_type"])
            with unit_of_work(deps.engine) as work:
                left = gpus_left(work.connection, deps.settings, gpu_type, cluster_id, now)
            with unit_of_work(deps.engine) as work:
                known = replace(_known(work.connection, deps, supply, now), budget_left=left)
                generator = make_rng(deps.settings.seed, "headroom", cluster_id, gpu_type)
                repository.store_advice(work.connection, to_advice(known, generator, now))
        except ValueError as error:  # a row that somebody spoilt by hand
            log.warning("headroom_not_advised", gpu_type=supply["gpu_type"], error=str(error))
            continue
        n_advised += 1
    return n_advised


def _known(
    connection: Connection, deps: DecisionDeps, supply: RowMapping, now: datetime
) -> TypeNeeds:
    cluster_id, gpu_type = int(supply["cluster_id"]), str(supply["gpu_type"])
    n_steps = deps.settings.stale_after_steps
    needs = repository.load_needs(connection, cluster_id, gpu_type, n_steps, now)
    n_active = repository.count_services(connection, cluster_id, gpu_type)
    return TypeNeeds(supply, needs, n_active, _dependence(connection, deps, supply, needs, now))


def _dependence(
    connection: Connection,
    deps: DecisionDeps,
    supply: RowMapping,
    needs: Sequence[RowMapping],
    now: datetime,
) -> Dependence:
    """What was learned within the last hour, else what the newest steps say."""
    at = supply["dependence_at"]
    if at is not None and now - LEARNED_EVERY < at <= now:
        return Dependence(supply["dependence"], supply["n_dependence_steps"], at)
    largest = sorted(needs, key=lambda row: -row["held_replicas"] * row["gpus_per_replica"])
    ids = list(dict.fromkeys(int(row["workload_id"]) for row in largest))[:N_LEARNED_SERVICES]
    first = now - timedelta(seconds=deps.settings.step_s) * N_LEARNED_STEPS
    scores = to_scores(repository.load_forecast_outcomes(connection, ids, first, now))
    return Dependence(*learn_dependence(scores), now)
