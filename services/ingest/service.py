"""Use cases of ingest as a whole: resampling, the sweep, readiness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from sqlalchemy import Connection

from services.ingest.deps import IngestDeps
from services.ingest.push.refused import note_implausible
from services.ingest.series import repository, shard_repository
from services.ingest.series.catalog import IndicatorRef
from services.ingest.series.due import CursorRow, DueRange, DueRules, due_ranges
from services.ingest.series.plausible import plausible_rule, screen_steps
from services.ingest.series.repository import SeriesRange
from services.ingest.series.resample import Resampled, StepGrid, resample
from services.ingest.series.samples import IMPLAUSIBLE, SECOND_US, from_us
from services.ingest.step_blocks import StepSeries, StepValues, to_blocks
from services.kernel import jobs, telemetry
from services.kernel.db.migrations import see_schema
from services.kernel.db.session import check_reachable, unit_of_work
from services.kernel.db.steps.moving import has_unmoved
from services.kernel.db.steps.writing import write_steps
from services.kernel.db.turns import FORECAST, note_asked
from services.kernel.db.workload_errors import RESAMPLE, in_bulkheads
from services.kernel.errors import Unavailable
from services.kernel.server_clock import not_ahead

DueSeries = tuple[DueRange, IndicatorRef]


@dataclass(frozen=True, slots=True)
class ResampleResult:
    """Rows and origins of a resampling run.

    Attributes:
        n_rows: Steps of workloads that are new or changed.
        origins: Newly completed origins, for which forecasts were asked.
        is_partial: More steps are due than one run takes; another job was sent.
    """

    n_rows: int
    origins: tuple[datetime, ...]
    is_partial: bool


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Shards for which a sweep sent jobs."""

    resampled: tuple[int, ...]
    pulled: tuple[int, ...]


def resample_shard(deps: IngestDeps, shard: int, at: datetime) -> ResampleResult:
    """Turn the complete steps of a shard into indicators, and ask for forecasts of a new origin.

    Args:
        deps: Dependencies.
        shard: Shard number.
        at: Now, at most the time of the database; steps that end later are left.
    """
    with unit_of_work(deps.engine, deps.sender) as work:
        at = not_ahead(work.connection, at, deps.clock)
        found = {
            row.columns.id: row for row in shard_repository.lock_shard(work.connection, shard, at)
        }

        def resample_some(ids: Sequence[int]) -> ResampleResult:
            rows = [found[id_] for id_ in ids]
            cursors = shard_repository.to_cursors(work.connection, rows, deps.catalog)
            return _resample_rows(work.connection, cursors, at, deps.due_rules)

        parts = in_bulkheads(work, RESAMPLE, list(found), resample_some, at).results
        result = _together(parts)
        for origin_at in result.origins:
            note_asked(work.connection, FORECAST, shard, origin_at)
            work.send_after_commit(jobs.shard_job(jobs.FORECAST_SHARD, shard, origin_at))
        if result.is_partial:
            work.send_after_commit(jobs.shard_job(jobs.INGEST_RESAMPLE, shard, at))
    return result


def _together(parts: Sequence[ResampleResult]) -> ResampleResult:
    origins = dict.fromkeys(origin for part in parts for origin in part.origins)
    is_partial = any(part.is_partial for part in parts)
    return ResampleResult(sum(part.n_rows for part in parts), tuple(origins), is_partial)


def _resample_rows(
    connection: Connection, rows: list[CursorRow], at: datetime, rules: DueRules
) -> ResampleResult:
    """Resample workloads, those of one step length together."""
    rows.sort(key=lambda row: row.workload.step_s)
    groups = groupby(rows, key=lambda row: row.workload.step_s)
    return _together([_resample_group(connection, list(group), at, rules) for _, group in groups])


def _resample_group(
    connection: Connection, rows: Sequence[CursorRow], at: datetime, rules: DueRules
) -> ResampleResult:
    """Resample workloads that share one step length."""
    step_us = rows[0].workload.step_s * SECOND_US
    ranges, is_partial = due_ranges(rows, at, rules)
    due = [found for found in ranges if found.end_us > found.start_us]
    if not due:
        return ResampleResult(0, (), False)
    end_us = min(found.end_us for found in ranges)
    is_new = _is_new_origin(connection, due, end_us, step_us)
    n_rows = _write_due(connection, due, step_us, at)
    until = {found.row.workload.id: from_us(found.end_us) for found in due}
    repository.move_cursors(connection, until, at)
    origins = (from_us(end_us - step_us),) if is_new and not is_partial else ()
    return ResampleResult(n_rows, origins, is_partial)


def _is_new_origin(
    connection: Connection, due: Sequence[DueRange], end_us: int, step_us: int
) -> bool:
    """Check whether the step that ends at `end_us` is complete for the whole shard only now.

    True when it is written here for a workload that has no row of it yet: a step that is merely
    opened again by a late sample asks for no second forecast.
    """
    origin_us = end_us - step_us
    writers = [found.row.workload for found in due if found.start_us <= origin_us < found.end_us]
    return repository.count_workloads_at(connection, writers, origin_us) < len(writers)


def _write_due(connection: Connection, due: Sequence[DueRange], step_us: int, at: datetime) -> int:
    grid_start_us = min(found.start_us for found in due)
    grid_end_us = max(found.end_us for found in due)
    grid = StepGrid(grid_start_us, step_us, (grid_end_us - grid_start_us) // step_us)
    series: list[DueSeries] = [
        (found, found.row.workload.indicators[name])
        for found in due
        for name in sorted(found.row.workload.names(is_sli=False))
    ]
    samples = repository.load_samples(
        connection, [_sample_range(found, indicator, step_us) for found, indicator in series]
    )
    is_counter = np.array([indicator.is_counter for _, indicator in series], dtype=bool)
    steps = _plausible(connection, series, resample(samples, is_counter, grid), at)
    written = [StepSeries(found.row.workload, indicator.name) for found, indicator in series]
    return write_steps(connection, to_blocks(written, _due_values(series, steps, grid)))


def _plausible(
    connection: Connection, series: Sequence[DueSeries], steps: Resampled, at: datetime
) -> Resampled:
    """The steps without loads that are not plausible: gauges were screened as they came."""
    largest = np.array([one.largest_step if one.is_counter else np.inf for _, one in series])
    kept, refused = screen_steps(steps, largest)
    found: dict[int, str] = {}
    for number in np.flatnonzero(refused.any(axis=1)).tolist():
        due, indicator = series[number]
        value = steps.value[number][refused[number]].max()
        words = f"{indicator.name}={value:g} {plausible_rule(indicator.largest_step)}"
        found.setdefault(due.row.workload.id, words)
    telemetry.samples_rejected_total.labels("resample", IMPLAUSIBLE).inc(int(refused.sum()))
    plausible = {
        due.row.workload.id
        for number, (due, indicator) in enumerate(series)
        if indicator.is_counter and indicator.largest is not None and kept.observed[number].any()
    }
    note_implausible(connection, plausible, found, at)
    return kept


def _due_values(series: Sequence[DueSeries], steps: Resampled, grid: StepGrid) -> StepValues:
    """The steps that are due, of all that were resampled."""
    step_us = grid.start_us + grid.step_us * np.arange(grid.n_steps, dtype=np.int64)
    start_us = np.array([found.start_us for found, _ in series], dtype=np.int64)[:, None]
    end_us = np.array([found.end_us for found, _ in series], dtype=np.int64)[:, None]
    number, step = np.nonzero((step_us >= start_us) & (step_us < end_us))
    value, observed = steps.value[number, step], steps.observed[number, step]
    return StepValues(number, step_us[step], value, observed)


def _sample_range(due: DueRange, indicator: IndicatorRef, step_us: int) -> SeriesRange:
    """A counter also needs the reading before the first step and the one that closes the last."""
    since_us = due.start_us - (step_us if indicator.is_counter else 0)
    until_us = due.end_us + (1 if indicator.is_counter else 0)
    return SeriesRange(due.row.workload.id, indicator.name, since_us, until_us)


def sweep(deps: IngestDeps, at: datetime) -> SweepResult:
    """Send jobs for what is due and has none: steps to resample, shards to pull, rows to move.

    It carries a step over the line when no sample comes, and makes up for jobs that were lost.
    """
    rules = deps.due_rules
    with unit_of_work(deps.engine, deps.sender) as work:
        settle = timedelta(seconds=2 * deps.settings.pull_interval_s)
        backlog = shard_repository.find_backlog(work.connection, at, rules, settle)
        to_resample = tuple(found.shard for found in backlog if found.is_resample_due)
        is_pulling = deps.source is not None
        # a source knows the workloads of its own cluster only
        own = repository.load_own_shards(work.connection, deps.settings.cluster)
        to_pull = tuple(
            found.shard
            for found in backlog
            if found.is_pull_due and is_pulling and found.shard in own
        )
        for shard in to_resample:
            work.send_after_commit(jobs.shard_job(jobs.INGEST_RESAMPLE, shard, at))
        for shard in to_pull:
            work.send_after_commit(jobs.shard_job(jobs.INGEST_PULL, shard, at))
        if has_unmoved(work.connection):
            work.send_after_commit(jobs.Job(jobs.MOVE_INDICATORS))
    telemetry.jobs_resent_total.labels(jobs.INGEST_RESAMPLE).inc(len(to_resample))
    return SweepResult(to_resample, to_pull)


def check_ready(deps: IngestDeps) -> None:
    """Refuse while requests cannot be served.

    Raises:
        Unavailable: The database cannot be reached, or its schema does not serve this code.
    """
    check_reachable(deps.engine)
    seen = see_schema(deps.engine)
    if not seen.is_served:
        raise Unavailable(seen.message)
