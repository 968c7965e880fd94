"""Posteriors that are due to be fitted, by the age of what is stored.

The fits import PyMC, which is loaded when one of them is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.decision.beliefs import repository
from services.decision.wiring import DecisionDeps
from services.kernel.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class DueFits:
    """Fits that a call of the fit job makes.

    Attributes:
        lead_times: Lead times are due.
        fresh_types: GPU types whose capacities are not.
        responses: Responses are due.
        after: Who has a response that was fitted after it needs none; None: all do.
    """

    lead_times: bool = True
    fresh_types: frozenset[str] = frozenset()
    responses: bool = True
    after: datetime | None = None


def due_fits(deps: DecisionDeps) -> DueFits:
    """Find what has not been fitted for the interval.

    Lead times are stored in one transaction, capacities in one for each GPU type, responses in one
    for each batch: a fit that was killed between two of them is due for the rest. A fit that was
    rejected was made nevertheless; one that lacked data was not, and is tried again at the next
    check.
    """
    with deps.engine.connect() as connection:
        after = deps.now(connection) - timedelta(seconds=deps.settings.fit_interval_s)
        return DueFits(
            not repository.has_lead_time_fit(connection, after),
            frozenset(repository.load_fitted_types(connection, after)),
            not repository.has_miss_fit(connection, after)
            or repository.has_outdated_response(connection, after),
            after,
        )


def fit_posteriors(deps: DecisionDeps, is_scheduled: bool) -> bool:
    """Fit lead times, capacities and responses, unless another process is at it.

    Args:
        deps: What the use case needs.
        is_scheduled: Only what is due; otherwise all.

    Returns:
        Whether it was this process that fitted.
    """
    log = get_logger(__name__)
    with repository.fit_lock(deps.engine) as is_mine:
        if not is_mine:
            log.info("fit_left_to_another", is_scheduled=is_scheduled)
            return False
        due = due_fits(deps) if is_scheduled else DueFits()
        if due.lead_times:
            from services.decision.beliefs.fit_lead_time import fit_lead_times

            times = fit_lead_times(deps)
            log.info("lead_times_fitted", scopes=times.scopes, refused=times.reason)
        if due_types(deps, due):
            from services.decision.beliefs.fit_capacity import fit_capacities

            found = fit_capacities(deps, but_types=due.fresh_types)
            log.info("capacities_fitted", scopes=found.promoted, refused=dict(found.refused))
        if due.responses and has_objectives(deps):
            from services.decision.beliefs.fit_misses import fit_responses

            made = fit_responses(deps, after=due.after)
            log.info("responses_fitted", scopes=made.promoted, refused=dict(made.refused))
    return True


def due_types(deps: DecisionDeps, due: DueFits) -> set[str]:
    """GPU types of the workloads that learn a capacity, without the fresh ones."""
    with deps.engine.connect() as connection:
        rows = repository.load_learning_types(connection)
    return rows - due.fresh_types


def has_objectives(deps: DecisionDeps) -> bool:
    """Some workload has an objective."""
    with deps.engine.connect() as connection:
        return bool(repository.load_measured_workloads(connection))
