"""Use cases of workloads that are made over REST, where no operator makes them.

Their decisions are advice: Harmony has no scale target of theirs, so the mode is always `Advisory`
and what would hold the operator back (pauses, policies laid over an object) is not for them. A
GPUAutoscaler of the same name takes such a workload over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.admin.deps import AdminDeps
from services.admin.registration import repository
from services.admin.registration.bounds_service import check_queries, check_room
from services.admin.registration.schemas import (
    ReplicasReport,
    ReplicasView,
    WorkloadBody,
    WorkloadRequest,
    WorkloadSpecView,
    WorkloadUpdate,
)
from services.admin.rest.change import Answer, Caller, Change, check_etag, perform
from services.admin.rest.service import KUBERNETES, WorkloadKey
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.workload import EXTERNAL
from services.kernel.errors import Conflict, InvalidInput, NotFound
from services.kernel.security.keys import Role

OLDEST_REPORT = timedelta(days=1)


def get_spec(deps: AdminDeps, key: WorkloadKey) -> tuple[WorkloadSpecView, str]:
    """A workload's spec, and its ETag.

    Raises:
        NotFound: There is none.
    """
    with deps.reading() as connection:
        row = repository.load_managed(connection, *key)
    if row is None:
        raise NotFound(f"workload {key} does not exist")
    return _view(row), _etag(row)


def create(deps: AdminDeps, caller: Caller, body: WorkloadRequest) -> Answer:
    """Make a workload; one that was removed comes back with its history.

    Raises:
        NotFound: The namespace cannot be seen.
        Forbidden: The caller is no operator there, or may write no query.
        InvalidInput: The parts of the spec do not fit each other.
        Conflict: There is one already, or as many in the namespace as may be.
    """
    key = WorkloadKey(body.namespace, body.name)
    spec = to_spec(body.name, body.spec)

    def change(one: Change) -> Answer:
        one.require(Role.OPERATOR, body.namespace, f"namespace {body.namespace} does not exist")
        row = repository.load_managed(one.connection, *key, is_locked=True)
        if row is not None:
            _check_removed(row)
        check_queries(one, spec, None, deps.settings)
        check_room(one, key.namespace, deps.settings)
        if row is None:
            values = {"namespace": key.namespace, "name": key.name, "step_s": deps.settings.step_s}
            values |= {"spec": spec, "now": one.at}
            made = repository.insert_workload(one.connection, values, deps.settings.shard_size)
            if made is None:  # somebody made it in between
                raise Conflict(f"workload {key} exists already; read it again")
        else:
            step_s = deps.settings.step_s
            made = repository.replace_spec(one.connection, row["id"], spec, step_s, one.at)
        one.audit("workload.create", f"workload/{key}", None, spec)
        place = f"/v1/workloads/{key}"
        return Answer(201, _view(made), {"Location": place, "ETag": _etag(made)})

    return perform(deps, caller, change)


def replace(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, body: WorkloadUpdate, if_match: str | None
) -> Answer:
    """Store another spec; one that is as it stands changes nothing.

    Raises:
        NotFound: There is none.
        Forbidden: A query is new, and the caller may write none.
        InvalidInput: The parts of the spec do not fit each other, or what cannot be set is another.
        Conflict: The operator manages it.
        PreconditionRequired: No ETag was sent.
        PreconditionFailed: It has changed since it was read.
    """
    spec = to_spec(key.name, body.spec)

    def change(one: Change) -> Answer:
        row = _ours(one, key, if_match)
        body.check_unchanged(_view(row).model_dump(mode="json"))
        step_s = deps.settings.step_s
        if (row["spec"], row["step_s"]) == (spec, step_s):
            return Answer(200, _view(row), {"ETag": _etag(row)})
        check_queries(one, spec, row["spec"], deps.settings)
        made = repository.replace_spec(one.connection, row["id"], spec, step_s, one.at)
        one.audit("workload.update", f"workload/{key}", row["spec"], spec)
        return Answer(200, _view(made), {"ETag": _etag(made)})

    return perform(deps, caller, change)


def remove(deps: AdminDeps, caller: Caller, key: WorkloadKey, if_match: str | None) -> Answer:
    """Take a workload out; its history stays until retention drops it.

    Raises: as `replace`.
    """

    def change(one: Change) -> Answer:
        row = _ours(one, key, if_match)
        repository.set_inactive(one.connection, row["id"], one.at)
        one.audit("workload.delete", f"workload/{key}", row["spec"], None)
        return Answer(204, None)

    return perform(deps, caller, change)


def report_replicas(
    deps: AdminDeps, caller: Caller, key: WorkloadKey, report: ReplicasReport
) -> Answer:
    """Store what somebody who scales a workload says that it has; the first report of a time stays.

    The answer is what is stored, which is not what is said where a report of that time was there.

    Reports come as often as samples and change nothing that a person set, so none is audited.

    Raises:
        NotFound: There is none.
        InvalidInput: The time lies ahead, or too far back.
        Conflict: The operator manages it, and sees its replicas itself.
    """

    def change(one: Change) -> Answer:
        row = repository.load_managed(one.connection, *key)
        if row is None or not row["is_active"]:
            raise NotFound(f"workload {key} does not exist")
        check_managed_here(row["managed_by"], key, "its replicas are read from the cluster")
        now = deps.clock.now()
        at = report.observed_at or now
        if not now - OLDEST_REPORT <= at <= now + timedelta(seconds=deps.settings.future_s):
            raise InvalidInput(
                f"observed_at={at.isoformat()}: must lie within the last day and not ahead of now, "
                f"{now.isoformat()}",
                "/observed_at",
            )
        stored = repository.insert_replicas(one.connection, row["id"], at, report)
        return Answer(200, ReplicasView(**stored))

    return perform(deps, caller, change)


def to_spec(name: str, body: WorkloadBody) -> dict[str, Any]:
    """The spec as it is stored.

    Raises:
        InvalidInput: Its parts do not fit each other, or it has what cannot be set; names the
            field.
    """
    given = body.model_dump(mode="json")
    try:
        spec = WorkloadSpec.model_validate({"target": f"{EXTERNAL}/{name}", **given})
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "".join(f"/{part}" for part in ("spec", *first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidInput(f"spec: {message}", pointer) from error
    if spec.promise_problem:
        raise InvalidInput(f"spec: sla.{spec.promise_problem}", "/spec/sla/kind")
    stored = spec.model_dump(mode="json")
    body.check_unchanged(stored, "/spec")
    return stored


def _ours(one: Change, key: WorkloadKey, if_match: str | None) -> RowMapping:
    """The workload, locked, if it is there, set over REST, and what the caller has seen."""
    row = repository.load_managed(one.connection, *key, is_locked=True)
    if row is None or not row["is_active"]:
        raise NotFound(f"workload {key} does not exist")
    check_managed_here(row["managed_by"], key, "change or delete that with kubectl")
    check_etag(if_match, _etag(row), str(key))
    return row


def check_managed_here(managed_by: str, key: WorkloadKey, instead: str) -> None:
    """Refuse to change here what a GPUAutoscaler says.

    Raises:
        Conflict: The operator manages it; `instead` says what to do.
    """
    if managed_by == KUBERNETES:
        raise Conflict(
            f"workload {key} is managed by the operator: it follows GPUAutoscaler "
            f"{key.name} in namespace {key.namespace}; {instead}"
        )


def _check_removed(row: RowMapping) -> None:
    key = WorkloadKey(row["namespace"], row["name"])
    if not row["is_active"]:
        return
    check_managed_here(row["managed_by"], key, "change that with kubectl, or choose another name")
    raise Conflict(f"workload {key} exists already; replace it with PUT")


def _etag(row: RowMapping) -> str:
    return f'"{row["spec_version"]}"'


def _view(row: RowMapping) -> WorkloadSpecView:
    names = ("namespace", "name", "managed_by", "is_active", "step_s", "spec_version", "spec")
    values = {name: row[name] for name in names}
    return WorkloadSpecView.model_validate(values | {"mode": row["spec"].get("mode", "Advisory")})
