"""Registration: `workloads` follows the `GPUAutoscaler`s that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar

import orjson
import structlog
from sqlalchemy import Connection

from services.operator.reconcile import repository
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.reconcile.repository import Registration
from services.operator.resource.autoscaler import Key
from services.operator.stored.controls_audit import ClearedControls, audit_cleared
from services.operator.stored.controls_repository import clear_controls
from services.operator.stored.objects_repository import adopt, store_object_specs, store_objects

log = structlog.get_logger("operator")

_BATCH = 500
_Item = TypeVar("_Item")


def register(
    connection: Connection, deps: OperatorDeps, view: View, now: datetime
) -> dict[Key, int]:
    """Make `workloads` equal to the autoscalers.

    A new one is inserted, a changed spec or length of steps is stored, one that is gone becomes
    inactive (its history stays), one that came back becomes active. One that cannot be used keeps
    its last good spec, and becomes active as well: its targets may run, and once it goes they hold
    their GPUs from then on. What was made over REST is left alone until an autoscaler of its name
    appears, which takes over. What was set through the API is of one object: another one of its
    name begins without it, and the audit log says what was taken back.

    Returns:
        Workload id of each registered autoscaler.
    """
    known = _load_known(connection)
    wanted = dict(zip((a.key for a in view.autoscalers), view.specs, strict=True))
    specs = {key: spec for key, spec in wanted.items() if spec is not None}
    fresh = {key: spec for key, spec in specs.items() if key not in known}
    if fresh:
        uids = {autoscaler.key: autoscaler.uid for autoscaler in view.autoscalers}
        _insert(
            connection, deps, [_Fresh(key, uids[key], spec) for key, spec in fresh.items()], now
        )
        known = _load_known(connection)
    _update(connection, deps, [known[key] for key in specs.keys() - fresh], specs, now)
    ours = {key: row for key, row in known.items() if row.is_ours}
    taken = [row.id for key, row in known.items() if key in specs and key not in ours]
    gone = [row.id for key, row in ours.items() if row.is_active and key not in wanted]
    back = [
        row.id
        for key, row in known.items()
        if not row.is_active and key in (wanted if row.is_ours else specs)
    ]
    adopt(connection, taken, now)
    followed = ours | {key: row for key, row in known.items() if key in specs}
    cleared = _follow_objects(connection, view, followed, now)
    repository.set_active(connection, gone, False, now)
    repository.set_active(connection, back, True, now)
    audit_cleared(connection, cleared, deps.settings.cluster)
    if fresh or gone or back:
        log.info("registration", added=len(fresh), removed=len(gone), returned=len(back))
    return {key: known[key].id for key in wanted if key in known}


def _follow_objects(
    connection: Connection, view: View, followed: Mapping[Key, Registration], now: datetime
) -> list[ClearedControls]:
    """Store which objects the workloads follow, and what these say without what is laid over them.

    What was set of an object that is gone is taken back, and returned.
    """
    cleared: list[ClearedControls] = []
    found = [(a.uid, followed[a.key]) for a in view.autoscalers if a.key in followed]
    uids = {row.id: uid for uid, row in found if row.object_uid != uid}
    if uids:
        # first: whoever sets something now waits for it, and then sees the new object
        store_objects(connection, uids)
        # one that is there and was never told of before is the one that they were set of
        others = {
            row.id: row
            for _, row in found
            if row.id in uids and not (row.object_uid is None and row.is_active and row.is_ours)
        }
        for each in clear_controls(connection, list(others), now) if others else ():
            row = others[each["workload_id"]]
            uid = uids[row.id]
            cleared.append(ClearedControls(*row.key, each["body"], row.object_uid, uid))
    specs = {
        followed[a.key].id: view.object_specs.get(a.key)
        for a in view.autoscalers
        # what cannot be used keeps what holds, and so what it was made from
        if a.key in followed
        and a.spec is not None
        and (a.key in view.object_specs or followed[a.key].has_object_spec)
    }
    if specs:
        store_object_specs(connection, specs)
    return cleared


def _load_known(connection: Connection) -> dict[Key, Registration]:
    return {row.key: row for row in repository.load_registrations(connection)}


class _Fresh(NamedTuple):
    """An autoscaler that has no workload yet, with its spec as JSON."""

    key: Key
    uid: str
    spec: bytes


def _insert(
    connection: Connection, deps: OperatorDeps, fresh: Sequence[_Fresh], now: datetime
) -> None:
    for some in batches(fresh):
        rows = [
            {
                "namespace": each.key[0],
                "name": each.key[1],
                "step_s": deps.settings.step_s,
                "spec": orjson.loads(each.spec),
                "object_uid": each.uid,
            }
            for each in some
        ]
        repository.register(connection, rows, deps.settings.shard_size, now)


def _update(
    connection: Connection,
    deps: OperatorDeps,
    rows: Sequence[Registration],
    specs: Mapping[Key, bytes],
    now: datetime,
) -> None:
    """Store specs that differ from what is stored; stored ones are remembered by version.

    So are those whose steps have another length than is set now.

    What a stage fails for alone may be a row that somebody changed by hand: it is read again.
    """
    cache = deps.memory.specs
    failing = [id_ for id_, (_, details) in deps.memory.details.items() if details.errors]
    for id_ in failing[:_BATCH]:
        cache.pop(id_, None)
    unknown = [row for row in rows if cache.get(row.id, (None,))[0] != row.spec_version]
    for some in batches(unknown):
        stored = repository.load_specs(connection, [row.id for row in some])
        for row in some:
            spec = specs[row.key]
            is_same = row.id in stored and stored[row.id] == orjson.loads(spec)
            cache[row.id] = (row.spec_version, spec if is_same else None)
    step_s = deps.settings.step_s
    changed = [row for row in rows if cache[row.id][1] != specs[row.key] or row.step_s != step_s]
    for some in batches(changed):
        wanted = {row.id: orjson.loads(specs[row.key]) for row in some}
        repository.change_specs(connection, wanted, step_s, now)


def batches(given: Iterable[_Item]) -> Iterator[Sequence[_Item]]:
    """Some at a time: decoded, the specs of a fleet take much memory together."""
    items = iter(given)
    while some := list(islice(items, _BATCH)):
        yield some
