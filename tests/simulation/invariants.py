"""What must hold at every moment, judged from the cluster's own log and the stored rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.operator.reconcile.reconcile_pass import PassReport
from services.operator.resource.autoscaler import (
    PAUSED,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from tests.simulation.api_server import STALLED_S, may_come
from tests.simulation.chance import Stop
from tests.simulation.cluster import Object, Written, targets_of
from tests.simulation.judged_budgets import (
    HOLDS_S,
    added_by_others,
    is_lifted,
    left_for_long,
)
from tests.simulation.rules import approved as is_approved, bounds, goes_in, is_fall, within
from tests.simulation.source import Made

if TYPE_CHECKING:
    from tests.simulation.operators import OperatorProcess
    from tests.simulation.world import World

_OPEN = {"failed", "waiting", "awaiting_approval", "rejected"}
"""Results after which a decision may get another one."""
_DONE = {"applied", "unknown"}
_LOOK_BACK_S = 2.0
"""What a pass sees may be this old."""
_RECORD_S = 120.0
"""A scaling that was recorded by a successor counts from then on: as long as that may take, what
went the other way still counts."""
_UNREAD_S = 3600.0
"""What another hand does to a target that cannot be read is not known: such runs are not judged."""


@dataclass(frozen=True)
class Version:
    """Everything outside that matters, from a time on."""

    at_s: float
    autoscalers: dict[str, Object]
    budgets: dict[str, int]
    rivals: frozenset[str]
    has_unread: bool


@dataclass
class Watch:
    """Sees every patch, every commit and every pass.

    Attributes:
        seen_s: When the last whole pass began that saw an autoscaler, by its name.
        seen_budgets_s: The same of budgets, by GPU type.
    """

    world: World
    versions: list[Version] = field(default_factory=list)
    patched_by: dict[int, dict[str, Written]] = field(default_factory=lambda: defaultdict(dict))
    results: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    last_order: dict[str, tuple[float, int]] = field(default_factory=dict)
    seen_s: dict[str, float] = field(default_factory=dict)
    seen_budgets_s: dict[str, float] = field(default_factory=dict)
    n_patches: int = 0
    n_actions: int = 0
    _last_action: int = 0
    _began: dict[str, tuple[int, PassReport | None]] = field(default_factory=dict)
    _current: Made | None = None
    _n_commits: Counter[str] = field(default_factory=Counter)
    _rises: set[tuple[str, int]] = field(default_factory=set)
    _announced_rise: dict[tuple[int, int, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owner = {
            target: name
            for name, found in self.world.cluster.autoscalers.items()
            for target, _ in targets_of(found)
        }
        self.changed()

    def fail(self, invariant: str, detail: str) -> None:
        world = self.world
        tail = "\n  ".join(world.journal.last)
        raise Stop(
            f"seed {world.seed}, step {world.step}, {world.now_s:.3f} s: {invariant}: {detail}\n"
            f"again: {world.again}\nthe last effects:\n  {tail}"
        )

    # what is outside

    def changed(self) -> None:
        cluster = self.world.cluster
        budgets: dict[str, int] = {}
        for found in cluster.budgets.values():
            budgets[found["spec"]["gpuType"]] = found["spec"]["gpus"]
        rivals = frozenset(h["spec"]["scaleTargetRef"]["name"] for h in cluster.hpas.values())
        self.versions.append(
            Version(
                self.world.now_s,
                dict(cluster.autoscalers),
                budgets,
                rivals,
                "statefulsets" in cluster.forbidden,
            )
        )

    def since(self, from_s: float) -> list[Version]:
        """Versions that were in force at `from_s` or later."""
        found = []
        for version in reversed(self.versions):
            found.append(version)
            if version.at_s < from_s:
                break
        return found

    # passes and patches

    def begins(self, process: OperatorProcess) -> None:
        self._began[process.name] = (self.world.n_faults, process.loop.last)

    def ends(self, process: OperatorProcess) -> None:
        health, (n_faults, last) = process.loop.health, self._began[process.name]
        if health.problem.startswith("defect"):
            self.fail("no pass fails by itself", health.problem)
        is_whole = process.loop.last is not None and process.loop.last is not last
        if is_whole and process.loop.last is not None:
            view, began_s = process.loop.last.fleet.view, process.pass_began_s
            self.seen_s |= {each.name: began_s for each in view.autoscalers}
            types = [each["spec"]["gpuType"] for each in view.budgets or ()]
            self.seen_budgets_s |= dict.fromkeys(types, began_s)
        if is_whole and not health.problem and n_faults == self.world.n_faults:
            left = [row for row in self.world.store.intents() if not may_come(row, self.world)]
            if left:
                self.fail("a pass that works leaves no intent", str(left))

    def leaders(self) -> None:
        leading = [each.label for each in self.world.operators if each.term is not None]
        if len(leading) > 1:
            self.fail("one leads", ", ".join(leading))

    def sends_patch(self, process: OperatorProcess) -> None:
        if process.term is None:
            self.fail("who patches leads", process.label)

    def before_patch(self, process: OperatorProcess, target: str, replicas: int) -> None:
        """The target is about to be changed, its version being right."""
        self._current = None
        name = self.owner[target]
        own = [
            row
            for row in self.world.store.intents()
            if any(each["target"] == target for each in row["targets"])
        ]
        if not own or process.has_transaction:
            self.fail("each patch has an intent before it", f"{target} to {replicas}")
        made = self.world.source.made
        one = self._current = max((made[row["decision_id"]] for row in own), key=lambda m: m.id)
        before = self.world.cluster.targets[target].replicas
        began_s = process.pass_began_s
        seen = self.since(began_s - _LOOK_BACK_S)
        specs = [v.autoscalers[name] for v in seen if name in v.autoscalers]
        where = f"{target} {before} -> {replicas}, decision {one.id}"
        if not specs:
            self.fail("what no autoscaler scales is left alone", where)
        intent = next(row for row in own if row["decision_id"] == one.id)
        announced = next(each for each in intent["targets"] if each["target"] == target)
        if (announced["from"], announced["to"]) != (before, replicas):
            self.fail("an intent has the counts of its patch", f"{where}: {announced}")
        key, is_rise = (one.id, intent["attempt"], target), replicas > before
        self._check_turn(process, self._announced_rise.get(key, is_rise), where)
        if target in self.patched_by[one.id]:
            self.fail("no decision is applied twice", where)
        approved = any(is_approved(s, one) for s in specs)
        if not approved:
            self._check_order(one, where, began_s, self.last_order.get(target))
        self._check_permission(specs, one, where, approved)
        self._check_bounds(specs, target, before, replicas, where)
        if all(target in version.rivals for version in seen):
            self.fail("a target of another autoscaler is left alone", where)
        is_free = any(not within(spec, target, before) for spec in specs)
        if not is_free and not (one.is_by_budget and replicas < before):
            self._check_rates(specs, target, before, replicas, where)
        if replicas > before:
            self._check_budget(specs, target, replicas, where, began_s)

    def after_patch(self, process: OperatorProcess, done: Written) -> None:
        self.n_patches += 1
        if self._current is not None:
            self.patched_by[self._current.id][done.target] = done
            order = self.last_order.get(done.target, self._current.order)
            self.last_order[done.target] = max(order, self._current.order)

    def _check_turn(self, process: OperatorProcess, is_rise: bool, where: str) -> None:
        """Of what is announced together, falls come first: as they were announced at first."""
        turn = (process.label, self._n_commits[process.label])
        if is_rise:
            self._rises.add(turn)
        elif turn in self._rises:
            self.fail("falls come before rises", where)

    def _check_order(
        self, one: Made, where: str, began_s: float, last: tuple[float, int] | None
    ) -> None:
        if last is not None and one.order < last:
            self.fail("decisions are applied in the order of their origins", where)
        newer = [
            other.id
            for other in self.world.source.made.values()
            if other.workload == one.workload
            and other.order > one.order
            and other.stored_s < began_s
        ]
        if newer:
            self.fail("the newest decision is applied", f"{where}, {newer[-1]} is newer")
        if began_s >= one.valid_until_s:
            self.fail("what has run out is not applied", f"{where}, pass at {began_s}")

    def _check_permission(self, specs: list[Object], one: Made, where: str, approved: bool) -> None:
        if not approved and all(s["spec"]["mode"] == "Approval" for s in specs):
            self.fail("nothing is applied without its approval", where)
        held = [s["metadata"]["annotations"] for s in specs]
        falls = "-> " in where and is_fall(where)
        for annotation, holds in (
            (PAUSED, True),
            (PAUSED_SCALE_IN, falls),
            (PAUSED_SCALE_OUT, not falls),
        ):
            if holds and all(annotation in each for each in held):
                self.fail("a pause holds", where)

    def _check_bounds(
        self, specs: list[Object], target: str, before: int, replicas: int, where: str
    ) -> None:
        if not any(goes_in(spec, target, before, replicas) for spec in specs):
            self.fail("replicas are within their bounds", where)
        lows = [bounds(spec, target)[0] for spec in specs]
        if replicas == 0 and self._current is not None and self._current.desired[target] != 0:
            self.fail("nothing is scaled to zero unasked", where)
        if before == 0 and min(lows) > 0 and not self._was_put_to_zero(target):
            self.fail("what was scaled to zero by hand stays there", where)

    def _was_put_to_zero(self, target: str) -> bool:
        """True where the last count that an operator wrote was zero; a bound was raised since.

        What another hand wrote as an operator had asked for is recorded as the operator's own.
        """
        written, as_asked = self.world.cluster.written, self.world.outside.as_asked
        own = (
            one
            for one in reversed(written)
            if one.target == target and (one.by != "outside" or one in as_asked)
        )
        last = next(own, None)
        return last is not None and last.after == 0

    def _check_rates(
        self, specs: list[Object], target: str, before: int, replicas: int, where: str
    ) -> None:
        direction = "scaleUp" if replicas > before else "scaleDown"
        sign = 1 if replicas > before else -1
        worst = ""
        for spec in specs:
            rules = spec["spec"].get("behavior", {}).get(direction)
            if not rules:
                return
            policy = rules["policies"][0]
            since_s = self.world.now_s - policy["periodSeconds"]
            moves = [
                (sign * (one.after - one.before), one.at_s)
                for one in self.world.cluster.written
                if one.target == target and one.by != "outside" and one.at_s > since_s - _RECORD_S
            ]
            moved = sum(move for move, at_s in moves if move < 0 or at_s > since_s)
            total = moved + sign * (replicas - before)
            if total <= policy["value"]:
                return
            worst = (
                f"{where}: {total} within {policy['periodSeconds']} s, {policy['value']} allowed"
            )
        self.fail("rates are kept", worst)

    def _check_budget(
        self, specs: list[Object], target: str, replicas: int, where: str, began_s: float
    ) -> None:
        cluster = self.world.cluster
        found = cluster.targets[target]
        budgets = [v.budgets for v in self.since(self.world.now_s - HOLDS_S)]
        allowed = [each[found.gpu_type] for each in budgets if found.gpu_type in each]
        if not allowed or is_lifted(self, found.gpu_type):
            return
        held = cluster.held_gpus(found.gpu_type) - found.held_gpus() + found.held_gpus(replicas)
        if held <= max(allowed) or replicas <= max(bounds(s, target)[0] for s in specs):
            return
        moved_s = began_s - STALLED_S
        if any(version.has_unread for version in self.since(moved_s)):
            moved_s -= _UNREAD_S  # what cannot be read holds what was decided last
        added = added_by_others(self, found.gpu_type, moved_s, target)
        added += left_for_long(self, found.gpu_type)
        asked = cluster.asked_gpus(found.gpu_type) + found.gpus * (replicas - found.replicas)
        is_more = found.held_gpus(replicas) > found.held_gpus() or asked - added > max(allowed)
        if is_more and held - added > max(allowed):
            detail = f"{where}: {held} GPUs of {max(allowed)}, {added} by others"
            self.fail("no rise goes beyond the budget", detail)

    # the store

    def committed(self, process: OperatorProcess) -> None:
        self._n_commits[process.label] += 1
        announced = {
            (row["decision_id"], row["attempt"], each["target"]): each["to"] > each["from"]
            for row in self.world.store.intents()
            for each in row["targets"]
        }
        # after another hand moved a target, its fall may be a rise, and keeps its turn for as long
        # as its intent is open; one that was settled may be announced anew, from another count
        before = self._announced_rise
        self._announced_rise = {key: before.get(key, rise) for key, rise in announced.items()}
        for row in self.world.store.actions_after(self._last_action):
            self._last_action = max(self._last_action, row["id"])
            self.n_actions += 1
            self._check_action(row)

    def _check_action(self, row: dict[str, Any]) -> None:
        id_, result = row["decision_id"], row["result"]
        where = f"decision {id_}, attempt {row['attempt']}: {result} ({row['reason']})"
        before = self.results[id_]
        if any(old not in _OPEN for _, old in before):
            self.fail("a decision has one final result", f"{where} after {before}")
        if row["attempt"] != len(before) + 1:
            self.fail("attempts are counted", f"{where} after {before}")
        before.append((row["attempt"], result))
        done, one = self.patched_by.get(id_, {}), self.world.source.made[id_]
        if result not in _DONE and done:
            self.fail("each patch has its record", f"{where}, and yet it was patched: {done}")
        if result == "applied" and not done and not self._was_set_by_others(one, one.desired):
            self.fail("what is recorded as applied was patched", where)
        if result == "applied" and done:
            self._check_counts(row, one, done, where)
        if result == "applied" and len(one.desired) > 1:
            self._check_parts(row, one, where)

    def _check_counts(
        self, row: dict[str, Any], one: Made, done: dict[str, Written], where: str
    ) -> None:
        """The record of a scaling says what was made of each target."""
        told = {"": (row["from_replicas"], row["to_replicas"])}
        if len(one.desired) > 1:
            told = {part["name"]: (part["from"], part["to"]) for part in row["parts"]}
        for target, patch in done.items():
            name = target.rpartition("-")[2] if len(one.desired) > 1 else ""
            if told.get(name) != (patch.before, patch.after):
                self.fail("a record has the counts of its patch", f"{where}: {row} {patch}")

    def _check_parts(self, row: dict[str, Any], one: Made, where: str) -> None:
        """The record of a scaling names no target that nobody changed."""
        for part in row["parts"] or ():
            target, done = f"{one.workload}-{part['name']}", self.patched_by.get(one.id, {})
            is_told = part["from"] != part["to"]
            if is_told and target not in done and not self._was_set_by_others(one, (target,)):
                self.fail("a record has what was made of each target", f"{where}: {row}")

    def _was_set_by_others(self, one: Made, targets: Collection[str]) -> bool:
        """The count came about by another hand: nobody can tell the difference."""
        return any(
            w.by == "outside" and w.target in targets and w.at_s >= one.decided_s - STALLED_S
            for w in self.world.cluster.written
        )

    def at_the_end(self) -> None:
        world = self.world
        left = world.store.intents()
        if left:
            self.fail("every intent is resolved", str(left))
        for one in world.source.made.values():
            results = self.results.get(one.id, [])
            if not results:
                self.fail("every decision has a result", str(one))
            if self.patched_by.get(one.id) and results[-1][1] not in _DONE:
                self.fail("each patch has its record", f"{one} {results}")
            if results[-1][1] == "waiting" and self._should_be_settled(one):
                self.fail("what waits is tried again, or superseded", f"{one} {results}")
        for name, desired in world.source.last.items():
            for target, count in desired.items():
                replicas = world.cluster.targets[target].replicas
                low, high = bounds(world.cluster.autoscalers[name], target)
                wanted = min(max(count, low), high)
                is_full = not world.cluster.room(world.cluster.targets[target])  # none is added
                if replicas != wanted and not (is_full and low <= replicas < wanted):
                    self.fail("at rest the newest decision holds", f"{target} {replicas}: {count}")

    def _should_be_settled(self, one: Made) -> bool:
        """A newer decision was there for a step without faults, while this one was valid."""
        quiet_from_s = self.versions[-1].at_s
        return one.decided_s > quiet_from_s and any(
            other.workload == one.workload
            and other.order > one.order
            and other.stored_s + STALLED_S < min(one.valid_until_s, self.world.now_s)
            for other in self.world.source.made.values()
        )
