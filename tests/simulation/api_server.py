"""The API server of a simulation as one process sees it: the product's own client above it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from services.operator.wire.http import Call, KubeHttp, RequestSettings
from tests.simulation.cluster import NAMESPACE, Object

if TYPE_CHECKING:
    from tests.simulation.operators import OperatorProcess
    from tests.simulation.world import Hung, World

Answer = tuple[int, Mapping[str, str], bytes]
_STALE_S = 2.0
STALLED_S = 20.0
"""A watch of targets may stand still this long; what it showed before is shown again."""
_MAY_STALL = ("deployments", "statefulsets")
_PATCH_FAULTS = (
    "409", "another hand", "403", "429", "500", "timeout", "500 after", "timeout after", "away",
    "same hand", "another hand",
)  # fmt: skip
_CACHED = "?resourceVersion=0"
_MAY_COME_S = 60.0
"""A patch that had no answer is not given up before."""


def may_come(intent: Object, world: World) -> bool:
    """True where a patch of it had no answer, and may be carried out yet."""
    asked_s = (world.unanswered_s.get(each["target"], -math.inf) for each in intent["targets"])
    return world.now_s - max(asked_s) <= _MAY_COME_S


def ok(body: Any) -> Answer:
    return 200, {}, orjson.dumps(body)


def refusal(status: int, reason: str) -> Answer:
    body = {"kind": "Status", "reason": reason, "message": f"simulated {reason}"}
    return status, {}, orjson.dumps(body)


class SimulatedHttp(KubeHttp):
    """Sends to the world's cluster; its answers are refused, broken, late or old by chance."""

    def __init__(
        self, world: World, process: OperatorProcess, request: RequestSettings | None = None
    ) -> None:
        self._world = world
        self._process = process
        self._request = request or RequestSettings()
        self._sleep = self._wait
        self._served: dict[str, int] = {}
        self._fresh: dict[str, tuple[float, int | None]] = {}
        self.n_calls = 0

    def _wait(self, seconds: float) -> None:
        """A wait between attempts: within one tick nothing else is due."""

    def _once(self, call: Call) -> Answer:
        self.n_calls += 1
        world, process = self._world, self._process
        if call.resource == "leases":
            return self._lease(call)
        is_write = call.verb in ("patch", "create", "update")
        label = f"{call.verb} {call.resource} {_name(call)}".strip()
        world.effect(process, "write" if is_write else "read", label)
        if world.now_s < world.api_away_until_s:
            world.note(process, f"{label}: away")
            raise OSError("connection refused")
        if call.resource.endswith("/scale") and call.verb == "patch":
            return self._patch_scale(call, label)
        if world.chance.happens(world.faults.request):
            fault = world.chance.pick((429, 500, 503, 0))
            world.note_fault(process, f"{label}: {fault}")
            if fault == 0:
                raise OSError("timed out")
            return refusal(fault, "Simulated")
        answer = self._answer(call)
        if is_write:
            world.effect(process, "written", label)
        return answer

    def _answer(self, call: Call) -> Answer:
        cluster = self._world.cluster
        if call.verb == "list":
            return self._list(call)
        if call.resource.endswith("/scale"):
            target = cluster.targets.get(_name(call))
            if target is None:
                return refusal(404, "NotFound")
            return ok(_scale(target.replicas, target.version))
        if call.resource == "gpuautoscalers/status":
            found = cluster.autoscalers.get(_name(call))
            if found is None:
                return refusal(404, "NotFound")
            cluster.autoscalers[_name(call)] = found | {"status": _merged(found, call.body)}
            return ok({})
        if call.resource == "gpubudgets/status":
            found = cluster.budgets.get(_name(call))
            if found is None:
                return refusal(404, "NotFound")
            cluster.budgets[_name(call)] = found | {"status": _merged(found, call.body)}
            return ok({})
        return ok({})

    def _list(self, call: Call) -> Answer:
        """All objects of a kind; from the server's memory, which may be behind, where it may be.

        A process never sees an older list than one that it saw before. What a leader saw in its
        term it may see for longer: its watch stands still.
        """
        world, kind = self._world, call.resource
        if kind in world.cluster.forbidden:
            return refusal(403, "Forbidden")
        versions = world.lists.setdefault(kind, [])
        body = orjson.dumps({"items": world.cluster.list_kind(kind)})
        if versions and versions[-1][1] == body:
            versions[-1] = (world.now_s, body)
        else:
            versions.append((world.now_s, body))
        newest = len(versions) - 1
        shown = newest
        if call.path.endswith(_CACHED) and world.chance.happens(world.faults.stale):
            seen = self._served.get(kind, 0)
            fresh_s, term = self._fresh.get(kind, (-math.inf, None))
            is_stalled = term == self._process.term and world.now_s - fresh_s <= STALLED_S
            if is_stalled and kind in _MAY_STALL:
                shown = seen
            while shown > seen and world.now_s - versions[shown - 1][0] <= _STALE_S:
                shown -= 1
            if shown != newest:
                world.note(self._process, f"{kind}: a list from before")
        self._served[kind] = shown
        if shown == newest:
            self._fresh[kind] = (world.now_s, self._process.term)
        return 200, {}, versions[shown][1]

    def _patch_scale(self, call: Call, label: str) -> Answer:
        world, process = self._world, self._process
        world.watch.sends_patch(process)
        hung = world.hung.get(_name(call))
        if hung is not None:
            return self._ask_hung(call, hung)
        fault = "none"
        if world.chance.happens(world.faults.patch):
            fault = world.chance.pick(_PATCH_FAULTS)
            if world.chance.happens(world.faults.late):
                fault = "late"
            world.note_fault(process, f"{label}: {fault}")
        if fault == "403" and world.chance.happens(world.faults.meddle):
            world.outside.narrow(_name(call), call.body["spec"]["replicas"])
        if fault in ("409", "403", "429", "500"):
            return refusal(int(fault), "Simulated")
        if fault == "another hand":
            world.outside.touch(_name(call))
        if fault == "same hand":
            # somebody else asks for the very same count; the operator cannot tell
            world.outside.set(_name(call), call.body["spec"]["replicas"])
            raise OSError("timed out")
        if fault == "away":
            # carried out or not: nobody can tell as long as the server is away
            if world.chance.happens(0.5):
                self.carry_out(call)
            world.api_away_until_s = world.now_s + world.chance.seconds(1.0, 30.0)
        if fault in ("timeout", "away"):
            raise OSError("timed out")
        if fault == "late":
            due_s = world.now_s + world.chance.seconds(1.0, 40.0)
            world.late.append((due_s, process, call, process.pass_began_s))
            raise OSError("timed out")
        answer = self.carry_out(call)
        world.effect(process, "written", label)
        if fault == "500 after":
            return refusal(500, "Simulated")
        if fault == "timeout after":
            raise OSError("timed out")
        return answer

    def _ask_hung(self, call: Call, hung: Hung) -> Answer:
        """A webhook does not answer: the API server refuses, or the operator gives up first."""
        world, process = self._world, self._process
        world.note_fault(process, f"patch {_name(call)}: hangs for {hung.seconds} s")
        world.wait(process, hung.seconds)
        if hung.status:
            return refusal(hung.status, "InternalError")
        world.unanswered_s[_name(call)] = world.now_s
        if world.chance.happens(world.faults.late):  # it lets the patch through after all
            due_s = world.now_s + world.chance.seconds(1.0, 10.0)
            world.late.append((due_s, process, call, process.pass_began_s))
        raise OSError("timed out")

    def carry_out(self, call: Call) -> Answer:
        """Scale a target, provided that it has not changed since it was read."""
        world, name = self._world, _name(call)
        target = world.cluster.targets.get(name)
        if target is None:
            return refusal(404, "NotFound")
        version = call.body.get("metadata", {}).get("resourceVersion")
        if version not in (None, str(target.version)):
            world.note(self._process, f"patch {name}: conflict")
            return refusal(409, "Conflict")
        replicas = call.body["spec"]["replicas"]
        world.patched(self._process, name, replicas)
        return ok(_scale(replicas, target.version))

    def _lease(self, call: Call) -> Answer:
        world, cluster = self._world, self._world.cluster
        if world.now_s < world.api_away_until_s or self._process.is_cut_off:
            raise OSError("timed out")
        if call.verb == "get":
            return ok(cluster.lease) if cluster.lease else refusal(404, "NotFound")
        given = call.body["metadata"].get("resourceVersion")
        held = cluster.lease
        if (held is None) != (call.verb == "create"):
            return refusal(409, "Conflict")
        if held is not None and held["metadata"]["resourceVersion"] != given:
            return refusal(409, "Conflict")
        version = {"resourceVersion": str(cluster.next_version())}
        cluster.lease = call.body | {"metadata": call.body["metadata"] | version}
        return ok(cluster.lease)


def _name(call: Call) -> str:
    """Name of the object that a call is about; empty for lists."""
    if call.verb in ("list", "create"):
        return ""
    parts = call.path.rstrip("/").split("/")
    return unquote(parts[-2] if "/" in call.resource else parts[-1])


def _scale(replicas: int, version: int) -> Object:
    metadata = {"namespace": NAMESPACE, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": {}}


def _merged(found: Object, body: Any) -> Object:
    """The status after a merge patch; None removes a field."""
    return _merge(found.get("status") or {}, body["status"])


def _merge(before: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    after = dict(before) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = _merge(after.get(key), value)
    return after
