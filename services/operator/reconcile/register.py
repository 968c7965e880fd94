"""Registration: `workloads` follows the `GPUAutoscaler`s that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

import orjson
import structlog
from sqlalchemy import Connection

from services.operator.reconcile import repository
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.reconcile.repository import Registration
from services.operator.resource.autoscaler import Key

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
    appears, which takes over.

    Returns:
        Workload id of each registered autoscaler.
    """
    known = _load_known(connection)
    wanted = dict(zip((a.key for a in view.autoscalers), view.specs, strict=True))
    specs = {key: spec for key, spec in wanted.items() if spec is not None}
    fresh = {key: spec for key, spec in specs.items() if key not in known}
    if fresh:
        _insert(connection, deps, fresh, now)
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
    repository.adopt(connection, taken, now)
    repository.set_active(connection, gone, False, now)
    repository.set_active(connection, back, True, now)
    if fresh or gone or back:
        log.info("registration", added=len(fresh), removed=len(gone), returned=len(back))
    return {key: known[key].id for key in wanted if key in known}


def _load_known(connection: Connection) -> dict[Key, Registration]:
    return {row.key: row for row in repository.load_registrations(connection)}


def _insert(
    connection: Connection, deps: OperatorDeps, fresh: Mapping[Key, bytes], now: datetime
) -> None:
    for some in batches(fresh.items()):
        rows = [
            {
                "namespace": key[0],
                "name": key[1],
                "step_s": deps.settings.step_s,
                "spec": orjson.loads(spec),
            }
            for key, spec in some
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
