"""A fleet on its history, cycle by cycle through real workers, and what each cycle costs.

Each cycle is a step: samples are pushed over HTTP, and from there on the platform does it all: its
jobs go through the broker to workers, which send the next ones. The jobs of beat come at their
intervals. All processes share a replay's time, which passes as on the wall while there is work and
jumps over what is idle, so that a cycle takes as long as its work and decisions are as old as they
would be. Costs are CPU time, attributed where it arises: see `cpu` and `records`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import redis

from services.ingest.retention import retention
from services.kernel.clock import ReplayClock, wall_seconds
from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory
from services.lab.bench.fleet import document
from services.lab.bench.fleet.cpu import OwnBackends, own_backends
from services.lab.bench.fleet.document import CycleTiming, Meters
from services.lab.bench.fleet.drive import BeatJobs, FleetDriver
from services.lab.bench.fleet.feed import OperatorPass, Pusher
from services.lab.bench.fleet.freshness import Decided, Watched, by_class, freshness
from services.lab.bench.fleet.history_repository import END_AT as END_AT, start_history
from services.lab.bench.fleet.queues import BrokerView
from services.lab.bench.fleet.records import STAGES as STAGES, StageCost, cost_by_job, cost_by_stage
from services.lab.bench.fleet.replay_time import ReplayTime
from services.lab.bench.fleet.repository import (
    count_superseded,
    count_twice,
    load_decided,
    table_sizes,
    written,
)
from services.lab.bench.fleet.rig import DecisionEar, Rig, running_servers

Tell = Callable[[str], None]
_RECOVERY_STEPS = 2
_LATE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """Options of a measurement.

    Attributes:
        n_days: Days of history that it starts on.
        n_cycles: Steps that are measured, after one that makes what is made once.
        overload: How many times more steps come than fit; 0: each waits until the one before is
            done, and nothing else is looked at.
        n_overload_steps: Steps that come so.
        is_killing: Kill every worker in the midst of them.
        objectives: Share of the workloads with an objective: they are decided by sample paths.
    """

    n_workloads: int = 1000
    n_days: float = 1
    n_workers: int = 2
    n_cycles: int = 5
    step_s: int = 60
    overload: float = 0.0
    n_overload_steps: int = 20
    is_killing: bool = False
    seed: int = 7
    objectives: float = 0.0


def run_fleet(options: CycleOptions, settings: Settings, tell: Tell) -> dict[str, Any]:
    """Store a history, run cycles over it, and say what they cost; the document of `--json`.

    Raises:
        Unavailable: A process does not start or samples are refused.
    """
    own: dict[str, Any] = {"step_s": options.step_s, "seed": options.seed}
    if options.overload:
        # where this process cannot keep up with its own overload, samples are late, not refused
        own["late_s"] = _LATE_S
    machine = document.machine()
    with own_backends() as backends, running_servers(settings.model_copy(update=own)) as rig:
        size = StoredHistory(options.n_workloads, options.n_days, options.step_s, END_AT)
        start_history(rig.engine, rig.settings, size, tell, options.objectives)
        with _driving(rig, options, backends) as bench:
            tell("the first cycle, which is not measured")
            bench.cycle()
            found = _measure(bench, options, tell)
            if options.overload:
                found["overload"] = _overload(bench, options, found, tell)
        kept = {name: span / timedelta(days=1) for name, span in retention(rig.settings).items()}
        found |= {"seed": options.seed, "step_s": options.step_s, "retention_days": kept}
        return found | {"machine": machine | document.load_now("load_after")}


@dataclass(slots=True)
class FleetBench:
    """A driven fleet and where its time has come."""

    rig: Rig
    driver: FleetDriver
    ear: DecisionEar
    end_at: datetime

    @property
    def step(self) -> timedelta:
        """Length of a step."""
        return timedelta(seconds=self.rig.settings.step_s)

    def cycle(self, also: Callable[[], None] | None = None) -> None:
        """One step, in the midst of which something else may happen."""
        if self.driver.is_waiting_for_all:
            self.driver.time.pace(1.0, self.end_at + self.step)
            self.driver.time.jump(self.end_at)
        events = [(self.end_at + self.step / 2, also)] if also is not None else []
        self.driver.step(self.end_at, events)
        self.end_at += self.step

    def decided(self, since: datetime) -> list[Decided]:
        """Decisions on steps that end at a time or later, the first of them being number 0."""
        with self.rig.engine.connect() as connection:
            rows = load_decided(connection, since - self.step)
        return [
            Decided(
                row.workload_id,
                row.sla_class,
                (row.origin_at + self.step - since) // self.step,
                (row.origin_at + self.step).timestamp(),
                self.ear.committed_at(row).timestamp(),
            )
            for row in rows
        ]


@contextmanager
def _driving(rig: Rig, options: CycleOptions, backends: OwnBackends) -> Iterator[FleetBench]:
    settings = rig.settings
    client = redis.Redis.from_url(settings.redis_url)
    time = ReplayTime(ReplayClock(client), END_AT)
    broker = BrokerView(settings.redis_url)
    ear = DecisionEar(settings.database_url, time.passed)
    time.run()
    ear.start()
    try:
        rig.start(options.n_workers)
        with rig.engine.connect() as connection:
            pusher = Pusher(connection, rig.supervisor.address("ingest"), settings)
        operator = OperatorPass(rig.engine, settings, backends)
        beat = BeatJobs.start(settings, END_AT)
        driver = FleetDriver(rig, time, broker, beat, pusher, operator)
        yield FleetBench(rig, driver, ear, END_AT + timedelta(seconds=settings.step_s))
        pusher.close()
        beat.app.close()
    finally:
        ear.close()
        time.close()
        broker.close()
        client.close()


def _meters(bench: FleetBench) -> Meters:
    """Everything that is counted, as it stands now."""
    with bench.rig.engine.connect() as connection:
        sizes, log = table_sizes(connection), written(connection)
    return Meters(
        wall_s=wall_seconds(),
        cpu_s=bench.rig.cpu_s(),
        ingest_database_s=bench.rig.ingest_database_s(),
        tables=sizes,
        database_bytes=log.database,
        log_bytes=log.log,
        pushed=bench.driver.pushed,
    )


def _measure(bench: FleetBench, options: CycleOptions, tell: Tell) -> dict[str, Any]:
    bench.driver.operator.cost = StageCost()
    before, since = _meters(bench), bench.end_at
    cycles: list[float] = []
    rss_gib = 0.0
    for number in range(options.n_cycles):
        tell(f"cycle {number + 1} of {options.n_cycles}")
        started, idle_s = perf_counter(), bench.driver.idle_s
        bench.cycle()
        cycles.append(perf_counter() - started - (bench.driver.idle_s - idle_s))
        rss_gib = max(rss_gib, bench.rig.rss_gib())
    after = _meters(bench)
    costs = cost_by_stage(bench.rig.read_records(), before.wall_s, after.wall_s)
    costs["operator"] = bench.driver.operator.cost
    timing = CycleTiming(cycles, freshness(bench.decided(since)), rss_gib, bench.driver.restarts)
    return document.of_cycles(asdict(options), (before, after), costs, timing)


def _overload(
    bench: FleetBench, options: CycleOptions, found: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    """Steps that come faster than they can be done; then nothing more, until all is done."""
    driver, n_steps = bench.driver, options.n_overload_steps
    interval_s = found["busy_s_per_cycle"] / options.overload
    since, began_s = bench.end_at, wall_seconds()
    driver.queue.clear()
    driver.hurry(options.step_s / interval_s)
    driver.time.jump(since)
    for number in range(n_steps):
        tell(f"overload: step {number + 1} of {n_steps}, one every {interval_s:.1f} s")
        is_time = options.is_killing and number == 3 * n_steps // 4
        bench.cycle(driver.kill_workers if is_time else None)
    queue = list(driver.queue)
    real_interval_s = (wall_seconds() - began_s) / n_steps
    jobs = cost_by_job(bench.rig.read_records(), began_s)
    watched = Watched(n_steps, float(options.step_s), since.timestamp())
    end_at = bench.end_at
    driver.wait_for_all()
    tell("what is left after the overload")
    for _ in range(_RECOVERY_STEPS):
        bench.cycle()
    decided = bench.decided(since)
    with bench.rig.engine.connect() as connection:
        classes = {one.workload: one.sla_class for one in bench.decided(END_AT - bench.step)}
        passed = count_superseded(connection, since - bench.step)
        twice = count_twice(connection, END_AT - bench.step)
    newest = {one.workload for one in decided if one.end_s >= end_at.timestamp() + options.step_s}
    return {
        "factor": options.overload,
        "steps": n_steps,
        "interval_s": interval_s,
        "real_interval_s": real_interval_s,
        "by_class": by_class(decided, classes, watched),
        "superseded_origins": passed,
        "queue": document.queue_course(queue, watched),
        "jobs": {
            name: {"runs": cost.n_runs, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s}
            for name, cost in jobs.items()
        },
        "shards": driver.pusher.shards,
        "workers_killed": options.n_workers if options.is_killing else 0,
        "restarts": driver.restarts,
        "after": {"undecided": len(set(classes) - newest), "twice": twice},
    }
