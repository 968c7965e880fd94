"""Cycles of the platform over a stored history, one stage after the other in this process.

Each cycle is a step: samples arrive and are resampled, every shard is forecast and decided on, the
operator reads and writes what it does at each pass, forecasts are scored, and everything that
repeats by the clock runs as often as it would within the step.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from services.decision.decide import service as decision
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service as forecasting
from services.forecasting.score.service import score_forecasts
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.db.session import make_engine, unit_of_work
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.cpu import CpuMeter
from services.lab.bench.fleet.repository import begin, observe, written
from services.operator.reconcile import repository as operator_rows

STAGES = ("ingest", "forecast", "decide", "operator", "score", "sweep")
END_AT = datetime(2026, 1, 12, tzinfo=UTC)
_MIB, _KIB_PER_GIB = 2**20, 2**20
_REPORT_S = 30.0
"""How often the operator reads the details of a status."""


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """Size of the fleet, and of the history that it starts on."""

    n_workloads: int = 1000
    n_days: int = 1
    n_cycles: int = 5
    step_s: int = 60


@dataclass(slots=True)
class FleetBench:
    """A fleet on its history, and the services as one process would have them."""

    engine: Engine
    settings: Settings
    clock: FixedClock
    sender: RecordingSender
    meter: CpuMeter

    @classmethod
    def start(cls, settings: Settings, options: CycleOptions, tell: Callable[[str], None]) -> Any:
        """Store the history and begin where it ends."""
        settings = settings.model_copy(update={"step_s": options.step_s, "clock": "replay"})
        engine = make_engine(settings.database_url)
        history = StoredHistory(options.n_workloads, options.n_days, options.step_s, END_AT)
        store_history(engine, history, tell)
        with unit_of_work(engine) as work:
            begin(work.connection, END_AT, 40 * options.n_workloads)
        return cls(engine, settings, FixedClock(END_AT), RecordingSender(), CpuMeter(engine))

    def cycle(self) -> None:
        """One step of the fleet."""
        step = timedelta(seconds=self.settings.step_s)
        self.clock.advance(self.settings.step_s)
        now = self.clock.now()
        with self.meter.stage("observe"), unit_of_work(self.engine) as work:
            observe(work.connection, now, step)
        clock, sender, settings = self.clock, self.sender, self.settings
        deps = IngestDeps(self.engine, clock, sender, settings)
        with self.meter.stage("ingest"):
            for shard in ingest.sweep(deps, now).resampled:
                ingest.resample_shard(deps, shard, now)
        app = make_forecasting(settings, sender, clock)
        decisions = DecisionDeps(self.engine, clock, settings, sender=sender)
        with self.meter.stage("forecast"):
            for shard, at in self._asked(jobs.FORECAST_SHARD):
                forecasting.forecast_shard(app, shard, at)
        with self.meter.stage("decide"):
            for shard, at in self._asked(jobs.DECIDE_SHARD):
                decision.decide_shard(decisions, shard, at)
        with self.meter.stage("operator"):
            self._operate(now)
        with self.meter.stage("score"):
            score_forecasts(app)
        with self.meter.stage("sweep"):
            for _ in range(max(1, round(settings.step_s / settings.sweep_interval_s))):
                forecasting.sweep(app)
                decision.sweep(decisions)
        self.sender.sent.clear()

    def _asked(self, name: str) -> Iterable[tuple[int, datetime]]:
        found = [job.payload for job in self.sender.sent if job.name == name]
        self.sender.sent = [job for job in self.sender.sent if job.name != name]
        pairs = {(int(str(one["shard"])), str(one["at"])): None for one in found}
        return [(shard, datetime.fromisoformat(at)) for shard, at in pairs]

    def _operate(self, now: datetime) -> None:
        """What a pass reads and writes in the database: decisions, actions, details of statuses."""
        with unit_of_work(self.engine) as work:
            ids = [each.id for each in operator_rows.load_registrations(work.connection)]
            found = operator_rows.load_newest_decisions(
                work.connection, ids, self.settings.policy_version
            )
            after = min((int(row["id"]) for row in found), default=1) - 1
            query = operator_rows.DecisionQuery(self.settings.policy_version, after, [], now)
            rows = [
                (
                    *(row["origin_at"], row["id"], row["workload_id"], row["n_attempts"] + 1),
                    *(row["current_replicas"], row["desired_replicas"], "applied", "", now, None),
                )
                for row in operator_rows.load_open_decisions(work.connection, query)
            ]
            operator_rows.store_actions(work.connection, rows)
            for _ in range(max(1, round(self.settings.step_s / _REPORT_S))):
                operator_rows.load_details(work.connection, ids, now)


def run_fleet(
    options: CycleOptions, settings: Settings, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Store a history, run cycles over it, and say what they cost.

    Args:
        options: Sizes.
        settings: Of an empty database on this machine.
        tell: Called with what is being done.
    """
    bench = FleetBench.start(settings, options, tell)
    bench.cycle()  # the first one makes what is made once: plans, partitions, caches
    meter = bench.meter = CpuMeter(bench.engine)
    with bench.engine.connect() as connection:
        before = written(connection)
    walls = []
    for number in range(options.n_cycles):
        tell(f"cycle {number + 1} of {options.n_cycles}")
        started = time.perf_counter()
        bench.cycle()
        walls.append(time.perf_counter() - started)
    with bench.engine.connect() as connection:
        after = written(connection)
    per_1000 = 1000 / options.n_workloads / options.n_cycles
    total = sum(meter.spent[name] for name in STAGES)
    return {
        "workloads": options.n_workloads,
        "history_days": options.n_days,
        "workers": 1,
        "cycles": options.n_cycles,
        "step_s": options.step_s,
        "cycle_s": {"p50": statistics.median(walls), "max": max(walls)},
        "cycle_cpu_s": total / options.n_cycles,
        "cpu_s_per_1000": {name: meter.spent[name] * per_1000 for name in STAGES},
        "database_cpu_s_per_1000": {name: meter.in_database[name] * per_1000 for name in STAGES},
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_GIB,
        "db_growth_mib_per_cycle": (after.database - before.database) / _MIB / options.n_cycles,
        "wal_mib_per_cycle": (after.log - before.log) / _MIB / options.n_cycles,
    }
