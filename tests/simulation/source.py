"""Decisions of a simulation: any count within the bounds, as no forecast would ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows, next_ids, unit_of_work
from services.operator.reconcile.repository import DECISIONS_CHANNEL, load_registrations
from tests.simulation.cluster import at, targets_of

if TYPE_CHECKING:
    from tests.simulation.world import World

VALID_S = 180.0


@dataclass(frozen=True)
class Made:
    """A decision that was made.

    Attributes:
        stored_s: When it could be read.
        desired: Replicas by the name of the target.
        is_by_budget: A GPU budget ruled it, so that rates yield where it lowers.
    """

    id: int
    workload: str
    origin_s: float
    decided_s: float
    stored_s: float
    desired: dict[str, int]
    is_by_budget: bool = False
    valid_s: float = VALID_S

    @property
    def valid_until_s(self) -> float:
        return self.decided_s + self.valid_s

    @property
    def order(self) -> tuple[float, int]:
        return self.origin_s, self.id


@dataclass
class DecisionSource:
    """Stores a decision of most workloads at each step; some are stored late.

    Attributes:
        is_quiet: Each workload is asked for one count from now on, at every step.
    """

    world: World
    made: dict[int, Made] = field(default_factory=dict)
    is_quiet: bool = False
    last: dict[str, dict[str, int]] = field(default_factory=dict)
    _kept: list[tuple[Made, Any]] = field(default_factory=list)

    def decide(self) -> None:
        world, chance = self.world, self.world.chance
        with unit_of_work(world.engine) as work:
            rows_ = load_registrations(work.connection)
            ids = {row.name: row.id for row in rows_ if row.is_active}
            wanted = [name for name in sorted(ids) if self.is_quiet or not chance.happens(0.08)]
            drawn = next_ids(work.connection, "decisions_id_seq", len(wanted))
            rows = []
            for id_, name in zip(drawn, wanted, strict=True):
                one = self._make(id_, name)
                row = self._row(one, ids[name])
                if not self.is_quiet and chance.happens(0.05):
                    later_s = world.now_s + chance.seconds(1.0, 40.0)
                    self._kept.append((replace(one, stored_s=later_s), row))
                    continue
                rows.append(row)
                self.made[id_] = one
            copy_rows(work.connection, _TARGET, rows)
        world.note(None, f"{len(rows)} decisions up to {max(drawn, default=0)}")
        world.notify(DECISIONS_CHANNEL)

    def store_kept(self) -> None:
        """Store what was kept, as a transaction does that commits after a later one."""
        now_s = self.world.now_s
        due = [(one, row) for one, row in self._kept if one.stored_s <= now_s]
        if not due:
            return
        self._kept = [(one, row) for one, row in self._kept if one.stored_s > now_s]
        with unit_of_work(self.world.engine) as work:
            copy_rows(work.connection, _TARGET, [row for _, row in due])
        for one, _ in due:
            self.made[one.id] = replace(one, stored_s=now_s)
            self.world.note(None, f"decision {one.id} is stored late")

    def newest(self, n: int) -> list[Made]:
        """The newest decision of each workload, of the last `n` that each has."""
        found = {}
        for one in list(self.made.values())[-n * len(self.world.cluster.autoscalers) :]:
            found[one.workload] = one
        return [found[name] for name in sorted(found)]

    def _make(self, id_: int, name: str) -> Made:
        world, chance = self.world, self.world.chance
        if self.is_quiet and name in self.last:
            desired = self.last[name]
        else:
            desired = {}
            autoscaler = world.cluster.known_autoscaler(name)
            for target, part in targets_of(autoscaler):
                known = world.cluster.targets.get(target)
                low = part.get("minReplicas", 0)
                high = autoscaler["spec"]["maxReplicas"]
                count = 1 if known is None else known.replicas
                moved = count + chance.between(-3, 3)
                desired[target] = min(max(moved, low), high)
            if self.is_quiet:
                self.last[name] = desired
        is_by_budget = not self.is_quiet and chance.happens(0.05)
        origin_s = (world.step - 2) * 60.0
        is_short = not self.is_quiet and chance.happens(0.2)
        valid_s = chance.seconds(5.0, 30.0) if is_short else VALID_S
        now_s = world.now_s
        return Made(id_, name, origin_s, now_s, now_s, desired, is_by_budget, valid_s)

    def _known(self, name: str, desired: int) -> int:
        """Replicas of a target as a decision knows them; where they are not seen, what it wants."""
        found = self.world.cluster.targets.get(name)
        if found is None:
            return 1
        is_seen = f"{found.kind.lower()}s" not in self.world.cluster.forbidden
        return found.replicas if is_seen else desired

    def _row(self, one: Made, workload_id: int) -> tuple[Any, ...]:
        current = {name: self._known(name, count) for name, count in one.desired.items()}
        variants = None
        if len(one.desired) > 1:
            variants = json.dumps(
                [
                    {
                        "name": name.rpartition("-")[2],
                        "current": current[name],
                        "desired": count,
                    }
                    for name, count in one.desired.items()
                ]
            )
        before, after = sum(current.values()), sum(one.desired.values())
        decided_at = at(one.decided_s)
        return (
            one.id, at(one.origin_s), workload_id, one.id, "harmony-1", decided_at,
            decided_at + timedelta(seconds=one.valid_s), before, after, after,
            "up" if after > before else "down", "simulated",
            "gpu_budget" if one.is_by_budget else "", "forecast", 0.01, 0.004, 0.0,
            json.dumps({"guard_trace": []}), variants,
        )  # fmt: skip


_COLUMNS = (
    "id", "origin_at", "workload_id", "forecast_id", "policy_version", "decided_at",
    "valid_until", "current_replicas", "raw_replicas", "desired_replicas", "direction", "reason",
    "binding_constraint", "rung", "risk_target", "risk_estimated", "cost_delta_usd_per_h",
    "explanation", "variants",
)  # fmt: skip
_TARGET = CopyTarget(schema.decisions, _COLUMNS, "error")
