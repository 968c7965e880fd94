"""What people and other programs do to a simulated cluster, and the fleet in the beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.operator.resource.autoscaler import (
    APPROVED_DECISION,
    PAUSED,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from tests.simulation.cluster import NAMESPACE, Object, Written, stamp, targets_of
from tests.simulation.rules import bounds

if TYPE_CHECKING:
    from tests.simulation.world import World

RATE, TOKENS = "request_rate_rps", "output_tokens_per_s"
_HOLDS = (PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT)
_AMPLE = 1000
_FULFILLED = 0.15
"""How often somebody sets what an operator that ended was about to set."""
_SEEN_S = 200.0
"""A budget that has been there so long was seen by some pass that worked."""
_BACK = 0.05
"""How often an object of those that were deleted is made again, by tick."""
_BLIND = 0.2
"""How often no StatefulSet can be read from the very first."""


def _reference(name: str, kind: str = "Deployment") -> Object:
    return {"apiVersion": "apps/v1", "kind": kind, "name": name}


class Outside:
    """Makes the fleet and changes it by chance."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cluster = world.cluster
        self._chance = world.chance
        self._lost: dict[str, tuple[str, int]] = {}
        self._deleted: dict[str, Object] = {}
        self._gone_budgets: dict[str, Object] = {}
        self._budget_since_s: dict[str, float] = {}
        self._hidden_until_s = 0.0
        self.as_asked: list[Written] = []
        """What this hand wrote where an operator wanted the same: no record tells them apart."""

    # the fleet

    def build(self, n_workloads: int) -> None:
        cluster, chance = self._cluster, self._chance
        for number in range(3):
            cluster.nodes[f"h{number}"] = ("H100", 8 + n_workloads)
        cluster.nodes["l0"] = ("L4", 16 + n_workloads)
        for number in range(n_workloads):
            self._add_workload(number)
        for gpu_type, name in (("H100", "big"), ("L4", "small")):
            spare = chance.between(0, 6)
            spec = {"gpuType": gpu_type, "gpus": cluster.held_gpus(gpu_type) + spare}
            cluster.budgets[name] = {"metadata": {"name": name, "generation": 1}, "spec": spec}
        if chance.happens(_BLIND):
            cluster.forbidden.add("statefulsets")

    def _add_workload(self, number: int) -> None:
        chance, name = self._chance, f"w{number}"
        gpu_type = "L4" if number % 4 == 3 else "H100"
        gpus = 2 if number % 3 == 2 else 1
        spec: Object = {
            "mode": "Approval" if number % 6 == 4 else "Auto",
            "sla": {"risk": {"epsilon": "0.01"}},
            "demand": RATE,
            "indicators": [{"name": RATE, "level": 1}],
            "capacity": {"perReplica": "10"},
            "behavior": self._behavior(),
        }
        if number % 3 == 1:
            spec |= self._pools(name, gpu_type)
        else:
            kind = "StatefulSet" if number % 6 == 2 else "Deployment"
            low = 0 if number % 7 == 5 else chance.between(1, 2)
            spec |= {
                "scaleTargetRef": _reference(name, kind),
                "minReplicas": low,
                "maxReplicas": chance.between(6, 9),
                "gpuType": gpu_type,
                "gpusPerReplica": gpus,
            }
        metadata = {
            "namespace": NAMESPACE, "name": name, "uid": f"uid-of-{name}", "generation": 1,
            "creationTimestamp": stamp(-3600.0), "annotations": {}, "resourceVersion": "1",
        }  # fmt: skip
        self._cluster.autoscalers[name] = {"metadata": metadata, "spec": spec}
        for target, part in targets_of(self._cluster.autoscalers[name]):
            self._cluster.add_target(target, part, chance.between(2, 4))

    def _pools(self, name: str, gpu_type: str) -> Object:
        pools = [
            {
                "name": part, "scaleTargetRef": _reference(f"{name}-{part}"), "gpuType": gpu_type,
                "cost": {"perGpuHour": "4"}, "boundBy": [load], "minReplicas": 1,
            }
            for part, load in (("prefill", RATE), ("decode", TOKENS))
        ]  # fmt: skip
        bound = {"perReplica": "10", "alsoBoundBy": [{"indicator": TOKENS, "perReplica": "200"}]}
        indicators = [{"name": load, "level": 1} for load in (RATE, TOKENS)]
        return {"pools": pools, "capacity": bound, "indicators": indicators, "maxReplicas": 8}

    def _behavior(self) -> Object:
        found: Object = {}
        for direction in ("scaleUp", "scaleDown"):
            if self._chance.happens(0.6):
                value, period_s = self._chance.between(1, 2), self._chance.pick((60, 90, 180))
                policy = {"type": "Pods", "value": value, "periodSeconds": period_s}
                found[direction] = {"policies": [policy]}
        return found

    # changes

    def change(self) -> None:
        ways: tuple[Callable[[str], str], ...] = (
            self._scale, self._scale, self._pause, self._approve, self._approve, self._edit_bounds,
            self._edit_rates, self._break_spec, self._change_budget, self._change_budget,
            self._lose_node, self._rival, self._delete_target, self._forbid, self._stand_still,
            self._undo, self._undo, self._delete_object, self._delete_definition,
            self._delete_budget,
        )  # fmt: skip
        there = sorted(self._cluster.autoscalers)
        if not there:
            return
        name = self._chance.pick(there)
        self._world.note(None, f"outside: {self._chance.pick(ways)(name)}")
        self._world.watch.changed()

    def come_back(self) -> None:
        """What was deleted is made again, one object after the other; budgets are shown again."""
        if "gpubudgets" in self._cluster.forbidden and self._world.now_s >= self._hidden_until_s:
            self._cluster.forbidden.remove("gpubudgets")
            self._world.note(None, "outside: GPUBudgets may be listed again")
            self._world.watch.changed()
        for kind, (there, gone) in self._kinds().items():
            if gone and self._chance.happens(_BACK):
                name = self._chance.pick(sorted(gone))
                there[name] = self._made_again(gone.pop(name))
                if kind == "GPUBudget":
                    self._budget_since_s[name] = self._world.now_s
                self._world.note(None, f"outside: {kind} {name} is back")
                self._world.watch.changed()

    def _kinds(self) -> dict[str, tuple[dict[str, Object], dict[str, Object]]]:
        """Of each kind the objects that are there, and those that are gone."""
        cluster = self._cluster
        return {
            "GPUAutoscaler": (cluster.autoscalers, cluster.gone_autoscalers),
            "GPUBudget": (cluster.budgets, self._gone_budgets),
        }

    def _made_again(self, before: Object) -> Object:
        """As its manifest has it: without a status, and with a uid of its own."""
        version = str(self._cluster.next_version())
        metadata = before["metadata"] | {"generation": 1, "resourceVersion": version}
        if "uid" in metadata:
            metadata |= {
                "uid": f"{metadata['uid']}-",
                "creationTimestamp": stamp(self._world.now_s),
            }
        return {"metadata": metadata, "spec": before["spec"]}

    def _delete_object(self, name: str) -> str:
        if not self._is_known(name):
            return f"{name} is not known yet"
        self._cluster.gone_autoscalers[name] = self._cluster.autoscalers.pop(name)
        return f"GPUAutoscaler {name} is deleted; its targets stay"

    def _delete_definition(self, name: str) -> str:
        """All objects of the kind go with it."""
        for each in sorted(self._cluster.autoscalers):
            self._delete_object(each)
        return "every GPUAutoscaler is deleted; their targets stay"

    def _delete_budget(self, name: str) -> str:
        if not self._cluster.budgets:
            return "no budget is there"
        budget = self._chance.pick(sorted(self._cluster.budgets))
        if self._world.now_s - self._budget_since_s.get(budget, 0.0) < _SEEN_S:
            return f"GPUBudget {budget} may not have been seen yet"
        self._gone_budgets[budget] = self._cluster.budgets.pop(budget)
        return f"GPUBudget {budget} is deleted"

    def _scale(self, name: str) -> str:
        targets = [each for each, _ in targets_of(self._cluster.autoscalers[name])]
        return self._write(self._chance.pick(targets))

    def set(self, target: str, count: int) -> None:
        """Another hand sets a count that an operator wants too."""
        if target in self._cluster.targets:
            self.as_asked.append(self._cluster.write_count(target, count, "outside"))
            self._world.note(None, f"outside: {target} to {count}, as was asked for")

    def fulfil(self) -> None:
        """An operator ended before or after a patch: somebody makes what it announced, or else."""
        for row in self._world.store.intents():
            for each in row["targets"]:
                if self._chance.happens(_FULFILLED):
                    self.set(each["target"], each["to"])
                elif self._chance.happens(self._world.faults.meddle):
                    self.touch(each["target"])

    def narrow(self, target: str, count: int) -> None:
        """Somebody sets bounds that leave out the count which an operator could not set."""
        name, known = self._world.watch.owner[target], self._cluster.targets.get(target)
        found = self._cluster.autoscalers.get(name)
        if found is None or known is None:
            return
        low, high = bounds(found, target)
        change: Object = {}
        if count > max(low, 1, known.replicas):
            change = {"maxReplicas": count - 1}
        elif count < min(high, known.replicas) and "pools" not in found["spec"]:
            change = {"minReplicas": count + 1}
        if change:
            self._cluster.change_autoscaler(name, {"spec": change})
            self._world.note(None, f"outside: {name}: {change}")
            self._world.watch.changed()

    def touch(self, target: str) -> None:
        """Another hand is a moment faster than a patch."""
        self._world.note(None, f"outside: {self._write(target)}")

    def _write(self, target: str) -> str:
        if target not in self._cluster.targets:
            return f"{target} is not there"
        count = 0 if self._chance.happens(0.1) else self._chance.between(1, 9)
        self._cluster.write_count(target, count, "outside")
        return f"{target} to {count}"

    def _undo(self, name: str) -> str:
        """Somebody takes back what an operator did last."""
        done = next((w for w in reversed(self._cluster.written) if w.by != "outside"), None)
        if done is None or done.target not in self._cluster.targets:
            return "nothing to take back"
        self._cluster.write_count(done.target, done.before, "outside")
        return f"{done.target} back to {done.before}"

    def _pause(self, name: str) -> str:
        annotations: Object = dict.fromkeys(_HOLDS)
        held = self._cluster.autoscalers[name]["metadata"]["annotations"]
        if not any(hold in held for hold in _HOLDS):
            annotations[self._chance.pick(_HOLDS)] = "true"
        self._cluster.change_autoscaler(name, {"annotations": annotations})
        return f"{name} holds {[k for k, v in annotations.items() if v]}"

    def _approve(self, name: str) -> str:
        asking = [
            each
            for each, found in sorted(self._cluster.autoscalers.items())
            if found["spec"]["mode"] == "Approval"
        ]
        made = [one for one in self._world.source.newest(4) if one.workload in asking]
        if not made:
            return "nothing to approve"
        one = self._chance.pick(made)
        self._cluster.change_autoscaler(
            one.workload, {"annotations": {APPROVED_DECISION: str(one.id)}}
        )
        return f"{one.workload}: decision {one.id} approved"

    def _edit_bounds(self, name: str) -> str:
        spec = self._cluster.autoscalers[name]["spec"]
        high = self._chance.between(5, 9)
        change: Object = {"maxReplicas": high}
        if "pools" not in spec:
            change["minReplicas"] = self._chance.between(min(1, spec["minReplicas"]), 3)
        self._cluster.change_autoscaler(name, {"spec": change})
        return f"{name}: {change}"

    def _edit_rates(self, name: str) -> str:
        behavior = self._behavior()
        self._cluster.change_autoscaler(name, {"spec": {"behavior": behavior}})
        return f"{name}: {behavior}"

    def _break_spec(self, name: str) -> str:
        if not self._is_known(name):
            return f"{name} is not known yet"
        is_whole = self._cluster.autoscalers[name]["spec"]["demand"] == RATE
        demand = "no_such_indicator" if is_whole else RATE
        self._cluster.change_autoscaler(name, {"spec": {"demand": demand}})
        by_hand = ""
        if is_whole and self._chance.happens(0.5):
            targets = [each for each, _ in targets_of(self._cluster.autoscalers[name])]
            by_hand = f", and {self._write(self._chance.pick(targets))}"
        return f"{name}: demand {demand}{by_hand}"

    def _is_known(self, name: str) -> bool:
        """The operator has it in its books."""
        return any(one.workload == name for one in self._world.source.made.values())

    def _change_budget(self, name: str) -> str:
        if not self._cluster.budgets:
            return "no budget is there"
        budget = self._chance.pick(sorted(self._cluster.budgets))
        found = self._cluster.budgets[budget]
        held = self._cluster.held_gpus(found["spec"]["gpuType"])
        gpus = max(1, held + self._chance.between(-4, 5))
        self._cluster.budgets[budget] = found | {"spec": found["spec"] | {"gpus": gpus}}
        return f"budget {budget}: {gpus}"

    def _lose_node(self, name: str) -> str:
        """A node loses its GPUs, or gets them back; its pods stay until they are gone."""
        node = self._chance.pick(sorted(self._cluster.nodes))
        if node in self._lost:
            self._cluster.nodes[node] = self._lost.pop(node)
            return f"{node} is back"
        self._lost[node] = self._cluster.nodes[node]
        self._cluster.nodes[node] = (self._lost[node][0], 1)
        return f"{node} loses GPUs"

    def _rival(self, name: str) -> str:
        """An HPA of a workload's first target comes or goes."""
        if name in self._cluster.hpas:
            del self._cluster.hpas[name]
            return f"the HPA of {name} goes"
        target, part = next(iter(targets_of(self._cluster.autoscalers[name])))
        metadata = {"namespace": NAMESPACE, "name": f"hpa-{name}"}
        spec = {"scaleTargetRef": part["scaleTargetRef"], "maxReplicas": 9}
        self._cluster.hpas[name] = {"metadata": metadata, "spec": spec}
        return f"an HPA of {target}"

    def _delete_target(self, name: str) -> str:
        target, part = next(iter(targets_of(self._cluster.autoscalers[name])))
        if target in self._deleted:
            self._restore(target)
            return f"{target} is made again"
        self._deleted[target] = part
        del self._cluster.targets[target]
        return f"{target} is deleted"

    def _restore(self, target: str) -> None:
        part = self._deleted.pop(target)
        count = self._chance.between(1, 3)
        self._cluster.add_target(target, part, count)
        self._cluster.written.append(Written(self._world.now_s, target, 0, count, "outside"))

    def _forbid(self, name: str) -> str:
        """StatefulSets may not be listed any longer, or may be again; or GPUBudgets for a while."""
        forbidden = self._cluster.forbidden
        if self._chance.happens(self._world.faults.meddle):
            forbidden.add("gpubudgets")
            self._hidden_until_s = self._world.now_s + self._chance.seconds(20.0, 240.0)
        else:
            forbidden ^= {"statefulsets"}
        return f"forbidden: {sorted(forbidden)}"

    def _stand_still(self, name: str) -> str:
        """The controllers that make and end pods are away for a while."""
        self._cluster.still_until_s = self._world.now_s + self._chance.seconds(5.0, 60.0)
        return f"controllers stand still until {self._cluster.still_until_s:.3f}"

    def make_quiet(self) -> None:
        """Nothing is held, wrong, scarce or gone any longer."""
        for there, gone in self._kinds().values():
            for name in sorted(gone):
                there[name] = self._made_again(gone.pop(name))
        for node, before in self._lost.items():
            self._cluster.nodes[node] = before
        for target in sorted(self._deleted):
            self._restore(target)
        self._cluster.hpas.clear()
        self._cluster.still_until_s = -1.0
        self._cluster.forbidden.clear()
        for name, found in self._cluster.autoscalers.items():
            change = {
                "annotations": dict.fromkeys(_HOLDS),
                "spec": {"demand": RATE, "mode": "Auto"},
            }
            self._cluster.change_autoscaler(name, change)
            for target, _ in targets_of(found):
                if self._cluster.targets[target].replicas == 0:
                    self._cluster.write_count(target, 1, "outside")
        for name, budget in self._cluster.budgets.items():
            self._cluster.budgets[name] = budget | {"spec": budget["spec"] | {"gpus": _AMPLE}}
        self._world.watch.changed()
