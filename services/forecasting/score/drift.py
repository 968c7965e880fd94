"""Watch forecasts and inputs for drift, and ask for a fit when it calls for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from forecaster import (
    DAY_S,
    REFIT_KINDS,
    DriftTest,
    DriftVerdict,
    Forecast,
    HistoryTooShort,
    InputDriftConfig,
    InputReference,
    Outcome,
    Series,
    input_reference,
    input_verdicts,
    worst_drift,
)
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online import repository as drift_rows
from services.forecasting.online.repository import DriftCount, DriftRow
from services.forecasting.rows import repository
from services.forecasting.rows.translate import IndicatorKey, WorkloadRow, to_series
from services.forecasting.training.fit import FitOutcome, fit_models
from services.forecasting.training.histories import LOAD_CHUNK
from services.kernel import telemetry
from services.kernel.clock import last_complete_step, make_rng
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.db.steps.reading import Span
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import MEASURED_BY, measured_by
from services.kernel.jobs import FORECAST_FIT, Job
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

MAX_NEW_REFERENCES = 256
"""Histories described in one run."""
WINDOWS_PER_HISTORY = 7
COMPARISONS_PER_WINDOW = 24
"""Inputs are compared so often while a window passes: a comparison reads all of it."""
RETRY_AFTER = timedelta(minutes=50)
"""From a fit that failed to the next, which the schedule asks for each hour."""
MOST_DOUBLED = 10
SEVERITIES = "severities"
"""Where a state has the severity of each test, as it is exported."""
COMPARED, INPUTS = "compared", "inputs"
"""Where it has the turn of the last comparison of inputs, and what that found."""
REFERENCE, STEP_S, MOST = "reference", "reference_step_s", "reference_most"
"""Where it has the description of the history, the length of the steps that this is of, and its
`most`, apart: the release before reads the description and knows no such field."""


class DriftWatch:
    """Drift of the forecasts of one model version, during one scoring run."""

    def __init__(
        self,
        app: Forecasting,
        connection: Connection,
        version: str,
        workloads: Mapping[int, WorkloadRow],
    ) -> None:
        """Load the states of `workloads`, which are to be scored."""
        self.app, self.connection, self.version = app, connection, version
        self.workloads = workloads
        stored = drift_rows.load_drift(connection, list(workloads), version)
        self.states: dict[int, dict[str, Any]] = {
            i: _of_its_demand(stored.get(i, {}), one.spec) for i, one in workloads.items()
        }
        self.verdicts: dict[int, list[DriftVerdict]] = {}

    def observe(self, workload_ids: Sequence[int], forecast: Forecast, outcome: Outcome) -> None:
        """Test the forecasts of one origin, oldest origin first."""
        test = DriftTest(ahead=min(DriftTest().ahead, forecast.horizon))
        rng = make_rng(self.app.settings.seed, "pit", self.version, int(forecast.origin_s[0]))
        stored = {
            key: self.states[i]["pit"]
            for key, i in zip(forecast.workloads, workload_ids, strict=True)
            if "pit" in self.states[i]
        }
        before = test.from_dicts(forecast.workloads, stored)
        state = test.observe(before, forecast, outcome, rng.random(len(workload_ids)))
        verdicts = test.apply(state, forecast)
        for i, raw, verdict in zip(workload_ids, state.to_dicts(), verdicts, strict=True):
            self.states[i]["pit"] = raw
            self.verdicts[i] = [verdict]

    def compare_inputs(self, now: datetime) -> None:
        """Compare the newest demand of the workloads tested with what the model was trained on.

        A workload's turn comes round `COMPARISONS_PER_WINDOW` times a window, each at another step;
        in between what its last comparison found holds.
        """
        registered_at = drift_rows.load_registered_at(self.connection, self.version)
        if registered_at is None:
            return
        for step_s in sorted({w.step_s for w in self.workloads.values()}):
            tested = [self.workloads[i] for i in self.verdicts]
            group = [w for w in tested if w.step_s == step_s]
            config = InputDriftConfig(window=window_steps(self.app.settings, step_s))
            self.describe(group, registered_at, config)
            known = [
                w
                for w in group
                if self.states[w.id].get(REFERENCE) and self._is_described(w, config)
            ]
            due = [w for w in known if self._turn(w, now, config) != self._compared(w)]
            for one, workload in zip(self._series(due, now, config.window), due, strict=True):
                state = self.states[workload.id]
                known_as = InputReference.from_dict({**state[REFERENCE], "most": state.get(MOST)})
                found = input_verdicts(one, known_as, state.get("since", {}))
                state[COMPARED] = self._turn(workload, now, config)
                state[INPUTS] = [asdict(verdict) for verdict in found]
            for workload in known:
                stored = self.states[workload.id][INPUTS]
                self.verdicts[workload.id] += [DriftVerdict(**one) for one in stored]

    def _compared(self, workload: WorkloadRow) -> int | None:
        turn: int | None = self.states[workload.id].get(COMPARED)
        return turn

    @staticmethod
    def _turn(workload: WorkloadRow, now: datetime, config: InputDriftConfig) -> int:
        n_between = max(1, config.window // COMPARISONS_PER_WINDOW)
        return (int(now.timestamp()) // workload.step_s + workload.id) // n_between

    def describe(
        self,
        workloads: Sequence[WorkloadRow],
        until: datetime,
        config: InputDriftConfig,
        n_most: int = MAX_NEW_REFERENCES,
    ) -> None:
        """Describe the histories that the model has seen, once per version, workload and step.

        Of steps of another length, or other windows, a description says nothing.

        Args:
            workloads: Whose, on one step length.
            until: When the model was registered.
            config: What is described.
            n_most: Of so many in this run; the others follow in the next ones.
        """
        missing = [w for w in workloads if not self._is_described(w, config)][:n_most]
        n_steps = self.app.settings.fit_max_steps
        for start in range(0, len(missing), LOAD_CHUNK):
            chunk = missing[start : start + LOAD_CHUNK]
            for one, workload in zip(self._series(chunk, until, n_steps), chunk, strict=True):
                try:
                    found = input_reference(one, config).to_dict()
                except HistoryTooShort:
                    found = None  # of this version's inputs nothing can be said: no verdicts
                most = None if found is None else found.pop("most")
                self.states[workload.id] |= {
                    REFERENCE: found,
                    STEP_S: workload.step_s,
                    MOST: most,
                }
                self.states[workload.id].pop(COMPARED, None)

    def _is_described(self, workload: WorkloadRow, config: InputDriftConfig) -> bool:
        state = self.states[workload.id]
        if REFERENCE not in state or state.get(STEP_S, workload.step_s) != workload.step_s:
            return False
        known = state[REFERENCE]
        return known is None or bool(known["window"] == config.window)

    def _series(
        self, workloads: Sequence[WorkloadRow], until: datetime, n_steps: int
    ) -> list[Series]:
        """The demand of workloads on one step length over the steps complete at `until`."""
        if not workloads:
            return []
        step_s = workloads[0].step_s
        origin_at = last_complete_step(until, step_s)
        spans = [Span(origin_at - timedelta(seconds=(n_steps - 1) * step_s), origin_at)]
        keys = [IndicatorKey(w.id, w.spec.demand) for w in workloads]
        samples = repository.load_samples(self.connection, keys, origin_at, step_s, spans)
        return [to_series(w, samples, int(origin_at.timestamp()), n_steps) for w in workloads]

    def save(self, now: datetime) -> None:
        """Store states and verdicts, and count the drifts that began."""
        rows = []
        for i, verdicts in self.verdicts.items():
            self._measure(self.workloads[i], verdicts)
            since = {v.kind: v.since_s for v in verdicts if v.since_s is not None}
            severities = {v.kind: v.severity for v in verdicts}
            state = {**self.states[i], "since": since, SEVERITIES: severities}
            rows.append(_row(i, state, verdicts))
        drift_rows.save_drift(self.connection, self.version, rows, now)

    def _measure(self, workload: WorkloadRow, verdicts: Sequence[DriftVerdict]) -> None:
        before = self.states[workload.id].get("since", {})
        for verdict in verdicts:
            if verdict.is_drifted and verdict.kind not in before:
                telemetry.forecast_drifts_total.labels(verdict.kind).inc()
                get_logger(__name__).info(
                    "drift_began",
                    workload=workload.key,
                    kind=verdict.kind,
                    reason=verdict.reason,
                    version=self.version,
                )


def _of_its_demand(state: Mapping[str, Any], spec: WorkloadSpec) -> dict[str, Any]:
    """A copy of a stored state; one of another demand, or of another query of it, is none.

    One that does not say is of an earlier release, and counts as one of today's query.
    """
    own = measured_by(spec, [spec.demand])
    known = state if state.get(MEASURED_BY, own) == own else {}
    return {**known, MEASURED_BY: own}


def _row(workload_id: int, state: dict[str, Any], verdicts: Sequence[DriftVerdict]) -> DriftRow:
    found = worst_drift(verdicts)
    if found is None or found.since_s is None:
        return DriftRow(workload_id, state, None, None, None, "")
    since = datetime.fromtimestamp(found.since_s, UTC)
    return DriftRow(workload_id, state, found.kind, found.severity, since, found.reason)


def window_steps(settings: Settings, step_s: int) -> int:
    """Steps of the windows that inputs are compared by: a day, if the history holds a few."""
    return max(min(DAY_S // step_s, settings.fit_max_steps // WINDOWS_PER_HISTORY), 24)


def request_refit(app: Forecasting, work: UnitOfWork, now: datetime) -> int | None:
    """Ask for a fit when drift calls for one; returns the id of the request.

    A large drifted share asks at once. Otherwise forecasts must have begun to fail after the last
    fit, and that fit be old enough; inputs of a few workloads that differ from training while the
    forecasts hold ask for nothing (in calm fleets that is 2 to 3 % of the workloads at any time).
    Either asks again only after the interval has passed. In a replay drift is shown
    only: hours pass in seconds there, so a fit would end long after it could have helped.
    """
    if app.settings.clock == "replay":
        return None
    serving = app.store.current(work.connection)
    if serving.ladder.model is None:
        return None  # nothing has been learned yet that could be out of date
    version = serving.version
    fits = drift_rows.load_past_fits(work.connection)
    count = drift_rows.count_drift(work.connection, version, REFIT_KINDS, fits.judged_at)
    last_request_at = drift_rows.load_last_request_at(work.connection)
    reason = refit_reason(count, fits.newest_at, last_request_at, now, app.settings)
    if reason is None:
        return None
    request_id = drift_rows.insert_request(work.connection, version, count, reason, now)
    work.send_after_commit(Job(FORECAST_FIT, {"request_id": request_id}))
    telemetry.refits_requested_total.inc()
    get_logger(__name__).info("refit_requested", reason=reason, version=version)
    return request_id


def refit_reason(
    count: DriftCount,
    last_fit_at: datetime | None,
    last_request_at: datetime | None,
    now: datetime,
    settings: Settings,
) -> str | None:
    """Why a fit should be made now; None when it should not."""
    interval = timedelta(seconds=settings.refit_min_interval_s)
    if count.n_drifted == 0 or (last_request_at is not None and now - last_request_at < interval):
        return None
    found = f"{count.n_drifted} of {count.n_watched} workloads drift; worst is {count.worst}"
    if count.n_drifted > settings.drift_refit_share * count.n_watched:
        return f"{found}; more than {settings.drift_refit_share:.0%} of the fleet"
    if count.n_new > 0 and (last_fit_at is None or now - last_fit_at >= interval):
        return f"{found}; forecasts of {count.n_new} began to fail since the last fit"
    return None


def is_fit_due(app: Forecasting) -> bool:
    """True when the scheduled fit is due: the last one with a verdict is old enough.

    After one that failed the next is due an hour later, after each further one in a row twice as
    long, at most the interval. One that has begun is due as long as it has not ended: its process
    may have died, and where it lives the fit lock lets no second one begin.
    """
    with app.engine.connect() as connection:
        fits, now = drift_rows.load_past_fits(connection), app.now(connection)
    interval = timedelta(seconds=app.settings.fit_interval_s)
    if fits.judged_at is not None and now - fits.judged_at < interval:
        return False
    if fits.failed_at is None or fits.n_failed == 0:
        return True
    n_doubled = min(fits.n_failed - 1, MOST_DOUBLED)
    due_at = fits.failed_at + min(interval, RETRY_AFTER * float(2**n_doubled))
    return now >= due_at


def fit_as_requested(app: Forecasting, request_id: int | None) -> FitOutcome:
    """Fit; a model that drift asked for says so in its reason."""
    outcome = fit_models(app)
    if request_id is not None and outcome.version:
        with unit_of_work(app.engine) as work:
            reason = drift_rows.load_request(work.connection, request_id)
            if reason is not None:
                more = f"asked for by drift: {reason}"
                drift_rows.append_reason(work.connection, outcome.version, more)
    return outcome
