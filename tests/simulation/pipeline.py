"""Ingest, forecasting and decision under the same faults: real jobs on Postgres feed the operators.

A worker carries out the jobs, one after the other; jobs are lost, come twice or in another order,
and the worker ends at any effect. The sweeps that the beat sends must make good for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.decision.decide import service as deciding
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service as forecasting
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.errors import HarmonyError
from services.kernel.jobs import Job
from services.operator.reconcile.repository import DECISIONS_CHANNEL
from tests.simulation.chance import Crash
from tests.simulation.cluster import NAMESPACE, START, at, stamp, targets_of
from tests.simulation.left_behind import SURELY_SEEN_S
from tests.simulation.operators import WatchedEngine
from tests.simulation.source import Made

if TYPE_CHECKING:
    from tests.simulation.world import World

_LOST, _TWICE, _LATER = 0.05, 0.05, 0.1
STEP_S = 60


@dataclass
class JobsOnTheirWay:
    """Jobs that were sent; some are lost, come twice, or after others."""

    world: World
    waiting: list[Job] = field(default_factory=list)

    def send(self, job: Job) -> None:
        chance, is_calm = self.world.chance, self.world.faults.patch == 0.0
        if not is_calm and chance.happens(_LOST):
            self.world.note_fault(None, f"lost: {job.name}")
            return
        self.waiting.append(job)
        if not is_calm and chance.happens(_TWICE):
            self.waiting.append(job)
        if not is_calm and chance.happens(_LATER) and len(self.waiting) > 1:
            self.waiting.append(self.waiting.pop(-2))


class Worker:
    """The process that carries out jobs; it comes back at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.label = "W"
        self.has_transaction = False
        self.is_in_pass = True
        self.stopped_until_s = -1.0
        self.line = JobsOnTheirWay(world)
        engine: Any = WatchedEngine(world.engine, self)  # type: ignore[arg-type]
        settings, clock = world.settings, world.clock
        self.ingest = IngestDeps(engine, clock, self.line, settings)
        self.forecasting = replace(make_forecasting(settings, self.line, clock), engine=engine)
        self.decision = DecisionDeps(engine, clock, settings, sender=self.line)
        self._tasks: dict[str, Callable[..., object]] = {
            jobs.INGEST_RESAMPLE: lambda *place: ingest.resample_shard(self.ingest, *place),
            jobs.FORECAST_SHARD: lambda *place, **turn: forecasting.forecast_shard(
                self.forecasting, *place, **turn
            ),
            jobs.DECIDE_SHARD: lambda *place, **turn: deciding.decide_shard(
                self.decision, *place, **turn
            ),
        }

    def guarded(self, what: str, work: Callable[[], object]) -> bool:
        """Do something that may fail or be cut short; True where it worked."""
        try:
            work()
        except Crash as crash:
            self.world.note(None, f"worker CRASH {crash}")
        except (DBAPIError, HarmonyError) as error:
            self.world.note(None, f"{what} failed: {type(error).__name__}")
        else:
            return True
        self.has_transaction = False
        return False

    def carry_out(self) -> None:
        """All jobs that wait, and those that follow from them."""
        while self.line.waiting:
            job = self.line.waiting.pop(0)
            run = self._tasks.get(job.name)
            if run is None:
                continue
            shard, moment = job.payload["shard"], datetime.fromisoformat(str(job.payload["at"]))
            assert isinstance(shard, int)
            self.world.note(None, f"job {job.name} {moment:%H:%M:%S}")
            turn = {key: job.payload[key] for key in job.payload if key not in {"shard", "at"}}
            self.guarded(job.name, partial(run, shard, moment, **turn))

    def sweep(self) -> None:
        """What the beat sends when the line is empty."""
        now = self.world.clock.now()
        self.guarded("sweep", lambda: ingest.sweep(self.ingest, now))
        self.guarded("sweep", lambda: forecasting.sweep(self.forecasting))
        self.guarded("sweep", lambda: deciding.sweep(self.decision))
        self.carry_out()


@dataclass
class PipelineSource:
    """Pushes what was measured and lets the worker decide, in place of made-up decisions."""

    world: World
    made: dict[int, Made] = field(default_factory=dict)
    is_quiet: bool = False
    last: dict[str, dict[str, int]] = field(default_factory=dict)
    n_pushed: int = 0
    _kept: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker = Worker(self.world)

    def newest(self, n: int) -> list[Made]:
        found = {one.workload: one for one in self.made.values()}
        return [found[name] for name in sorted(found)]

    def decide(self) -> None:
        self._kept.append(self._body())
        kept, self._kept = self._kept, []
        for body in kept:
            if self.worker.guarded("push", lambda body=body: push(self.worker.ingest, body)):  # type: ignore[misc]
                self.n_pushed += 1
            else:
                self._kept.append(body)  # the pusher tries again, at its next step
        self.worker.carry_out()
        if self.is_quiet or self.world.chance.happens(0.7):
            self.worker.sweep()
        self._note_made()
        self.world.notify(DECISIONS_CHANNEL)

    def store_kept(self) -> None:
        """Nothing is kept here."""

    def _body(self) -> bytes:
        """One sample of each series for each step since the last one."""
        world, entries = self.world, []
        moment_s = (world.step - 1) * STEP_S
        for number, (name, found) in enumerate(sorted(world.cluster.autoscalers.items())):
            load = 25.0 + 15.0 * math.sin(world.step / 6.0 + number) + world.chance.between(-3, 3)
            for indicator in found["spec"]["indicators"]:
                scale = 20.0 if indicator["name"].startswith("output") else 1.0
                sample = [stamp(moment_s - 30.0), load * scale]
                entries.append(
                    {
                        "namespace": NAMESPACE, "workload": name,
                        "indicator": indicator["name"], "samples": [sample],
                    }
                )  # fmt: skip
        return orjson.dumps({"observations": entries})

    def _note_made(self) -> None:
        world = self.world
        newest = max(self.made, default=0)
        statement = text(
            "SELECT d.*, w.name FROM decisions d JOIN workloads w ON w.id = d.workload_id "
            "WHERE d.id > :id ORDER BY d.id"
        )
        with world.engine.connect() as connection:
            rows = list(connection.execute(statement, {"id": newest}).mappings())
        for row in rows:
            parts = {f"{row['name']}-{v['name']}": v["desired"] for v in row["variants"] or ()}
            gone = world.cluster.gone_autoscalers
            found = world.cluster.autoscalers.get(row["name"]) or gone[row["name"]]
            (target, _), *_ = targets_of(found)
            decided_s = (row["decided_at"] - START).total_seconds()
            origin_s = (row["origin_at"] - START).total_seconds()
            guards = [str(g["guard"]) for g in row["explanation"].get("guard_trace", ())]
            by_budget = "gpu_budget" in (row["binding_constraint"], *guards)
            self.made[row["id"]] = Made(
                row["id"], row["name"], origin_s, decided_s, decided_s,
                parts or {target: row["desired_replicas"]}, by_budget,
            )  # fmt: skip
        world.note(None, f"{len(rows)} decisions up to {max(self.made, default=0)}")


def missing(world: World, engine: Engine, until_s: float) -> list[str]:
    """Complete origins of a workload without exactly one forecast and one decision.

    One that a newer one passed before its turn came, and of which that is recorded, is not missing.
    What a shard has of the time before its first forecast is history: a resampling job does all
    steps that are due, and asks for the newest. An autoscaler that was gone then, or shortly before
    or after, need not have been decided for.
    """
    statement = text(
        "SELECT w.name, o.origin_at, count(DISTINCT f.id) AS n_forecasts, "
        "count(DISTINCT d.id) AS n_decisions FROM workloads w "
        "JOIN (SELECT DISTINCT workload_id, step_at AS origin_at FROM indicators) o "
        "ON o.workload_id = w.id AND o.origin_at < :until AND o.origin_at >= (SELECT "
        "min(e.origin_at) FROM forecasts e JOIN workloads own ON own.id = e.workload_id "
        "WHERE own.shard = w.shard) "
        "LEFT JOIN forecasts f ON f.workload_id = w.id AND f.origin_at = o.origin_at "
        "LEFT JOIN decisions d ON d.workload_id = w.id AND d.origin_at = o.origin_at "
        "LEFT JOIN superseded_origins s ON s.shard = w.shard AND s.origin_at = o.origin_at "
        "GROUP BY w.name, o.origin_at "
        "HAVING count(DISTINCT f.id) > 1 OR count(DISTINCT d.id) > 1 "
        "OR (least(count(DISTINCT f.id), count(DISTINCT d.id)) = 0 AND count(s.shard) = 0) "
        "ORDER BY 2, 1"
    )
    with engine.connect() as connection:
        rows = connection.execute(statement, {"until": at(until_s)})
        return [
            f"{row[0]} {row[1]:%H:%M}: {row[2]} forecasts, {row[3]} decisions"
            for row in rows
            if _was_there(world, row[0], (row[1] - START).total_seconds())
        ]


def _was_there(world: World, name: str, origin_s: float) -> bool:
    """Its autoscaler was there, long enough to be registered, until three steps after an origin."""
    around = world.watch.since(origin_s - SURELY_SEEN_S)
    return all(
        name in version.autoscalers for version in around if version.at_s <= origin_s + 3.0 * STEP_S
    )
