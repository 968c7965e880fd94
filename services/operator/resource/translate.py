"""`GPUAutoscaler` as JSON -> `Autoscaler` and `WorkloadSpec`, pure.

A mistake of the user becomes `Autoscaler.problem`, one line with the field and its correction;
`to_autoscaler` raises nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, ValidationError

from services.kernel import domain
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.cron import check_cron, check_window
from services.kernel.security.printable import printable
from services.operator.resource import autoscaler, spec as schemas
from services.operator.resource.autoscaler import ApprovalRule, Autoscaler, Pause
from services.operator.resource.indicators import indicators, read_demand_counts, read_further_loads
from services.operator.resource.objective import FoundObjective, read_objective
from services.operator.resource.parts import (
    hardware,
    part_targets,
    to_lead_time,
    to_target,
    written_targets,
)

Classes = Mapping[str, schemas.SLAClassSpec]
_TRUE = {"true": True, "false": False, "": False}
_LARGEST_ID = 2**63 - 1
_LONGEST_TIME = 64
_LONGEST_NAME = 253
_N_SHARED = 4096
_Part = TypeVar("_Part", bound=BaseModel)


def parse_time(text: str) -> datetime:
    """An aware RFC 3339 time.

    Raises:
        ValueError: It is none, has no offset, or is in no year from 1 to 9999 of UTC.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write e.g. 2026-01-05T18:00:00Z")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} must be in a year from 1 to 9999 of UTC") from None


def to_classes(resources: Iterable[Mapping[str, Any]]) -> dict[str, schemas.SLAClassSpec]:
    """`SLAClass` objects by name; one that cannot be read is left out, as if it did not exist."""
    found = {}
    for resource in resources:
        try:
            spec = schemas.SLAClassSpec.model_validate(resource.get("spec", {}))
        except ValidationError:
            continue
        found[str(resource["metadata"]["name"])] = spec
    return found


def to_autoscaler(resource: Mapping[str, Any], classes: Classes) -> Autoscaler:
    """Read one `GPUAutoscaler`.

    Args:
        resource: The object as the API server gives it.
        classes: SLA classes by name.
    """
    metadata = resource["metadata"]
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    annotations = metadata.get("annotations") or {}
    raw_spec = resource.get("spec") or {}
    spec: WorkloadSpec | None = None
    pause, approval, problem, missing_class = Pause(), ApprovalRule(), "", ""
    objective = FoundObjective()
    try:
        pause = read_pause(annotations)
        written = schemas.GPUAutoscalerSpec.model_validate(raw_spec)
        approval = _approval(written, annotations)
        measured = indicators(written, namespace)
        objective = read_objective(written, classes, namespace)
        labels = metadata.get("labels") or {}
        sla = _sla(written.sla, classes, objective.spec)
        spec = _workload_spec(written, measured, sla, pause, labels)
        if spec.promise_problem:
            problem, spec = f"sla.risk.{spec.promise_problem}", None
        missing_class = _missing_class(written.sla, classes)
    except ValidationError as error:
        problem = first_problem(error)
    except ValueError as error:
        problem = str(error)
    parts = part_targets(namespace, spec, raw_spec)
    return Autoscaler(
        namespace=namespace,
        name=name,
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        created_at=parse_time(metadata["creationTimestamp"]),
        target=parts[0].target if parts else to_target(namespace, raw_spec),
        spec=spec,
        problem=problem,
        missing_class=missing_class,
        pause=pause,
        approval=approval,
        status=resource.get("status") or {},
        parts=parts,
        unmeasured=objective.unmeasured,
        objective_note=objective.note,
        written=() if spec is not None else written_targets(namespace, raw_spec),
    )


def read_pause(annotations: Mapping[str, str]) -> Pause:
    """The pause of the annotations; one that cannot be read pauses everything."""
    try:
        return to_pause(annotations)
    except ValueError as error:
        return Pause(is_all=True, problem=str(error))


def to_pause(annotations: Mapping[str, str]) -> Pause:
    """The pause of the annotations; of one without end and one with an end the former holds.

    Nothing takes an end away that is over: beside it a pause without end would be over at once.

    Raises:
        ValueError: An annotation has a value that cannot be read.
    """
    until_text = annotations.get(autoscaler.PAUSED_UNTIL, "")
    try:
        until = parse_time(until_text[:_LONGEST_TIME]) if until_text else None
    except ValueError as error:
        raise ValueError(f"annotation {autoscaler.PAUSED_UNTIL}: {error}") from None
    is_endless = _flag(annotations, autoscaler.PAUSED)
    return Pause(
        is_all=is_endless or until is not None,
        is_scale_in=_flag(annotations, autoscaler.PAUSED_SCALE_IN),
        is_scale_out=_flag(annotations, autoscaler.PAUSED_SCALE_OUT),
        until=None if is_endless else until,
    )


def _flag(annotations: Mapping[str, str], name: str) -> bool:
    text = annotations.get(name, "")
    try:
        return _TRUE[text.lower()]
    except KeyError:
        raise ValueError(f'annotation {name}={text[:60]!r} must be "true" or "false"') from None


def _decision_id(annotations: Mapping[str, str], name: str) -> int | None:
    text = annotations.get(name, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID))
    if text and not (is_number and int(text) <= _LARGEST_ID):
        raise ValueError(f"annotation {name}={text[:60]!r} must be the id of a decision")
    return int(text) if text else None


def _approval(written: schemas.GPUAutoscalerSpec, annotations: Mapping[str, str]) -> ApprovalRule:
    rule = written.approval or schemas.Approval()
    automatic = rule.auto_approve_up_to
    return ApprovalRule(
        _decision_id(annotations, autoscaler.APPROVED_DECISION),
        rule.expire_after_s,
        0 if automatic is None else automatic.replicas,
        printable(annotations.get(autoscaler.APPROVED_BY, ""), _LONGEST_NAME),
        _decision_id(annotations, autoscaler.REJECTED_DECISION),
        printable(annotations.get(autoscaler.REJECTED_BY, ""), _LONGEST_NAME),
    )


def _sla(
    sla: schemas.ServiceLevel | None, classes: Classes, objective: domain.ObjectiveSpec | None
) -> domain.SlaSpec:
    """The promise and how much it counts: its own risk wins, the priority is the class's.

    A class that is not there leaves no promise, unless the autoscaler states a risk of its own:
    then the priority is that of the class's name, and the condition `Ready` shows it.
    """
    if sla is None:
        return domain.SlaSpec()
    name = sla.sla_class
    found = None if name is None else classes.get(name)
    risk = sla.risk or (found.risk if found is not None else None)
    if risk is None and name is None:
        raise ValueError("sla needs a class or a risk: set sla.class or sla.risk.epsilon")
    if risk is None:
        raise ValueError(
            f"sla.class={name!r} does not exist or cannot be read; create or correct that "
            "SLAClass, or set sla.risk"
        )
    of_class: dict[str, Any] = {}
    if name is not None:
        stated = None if found is None else found.priority
        of_class = {"sla_class": name, "priority": stated or domain.class_priority(name)}
    return domain.SlaSpec(
        epsilon=risk.epsilon,
        kind=risk.kind,
        window_s=risk.window_s,
        objective=objective,
        **of_class,
    )


def _missing_class(sla: schemas.ServiceLevel | None, classes: Classes) -> str:
    name = None if sla is None else sla.sla_class
    return name if name is not None and name not in classes else ""


def _rules(rules: schemas.HPAScalingRules | None) -> domain.ScalingRules:
    if rules is None:
        return domain.ScalingRules()
    policies = tuple(
        domain.ScalingPolicy(type=policy.type, value=policy.value, period_s=policy.period_seconds)
        for policy in rules.policies or ()
    )
    return domain.ScalingRules(
        stabilization_window_s=rules.stabilization_window_seconds or 0,
        select_policy=rules.select_policy or "Max",
        policies=policies,
        tolerance=rules.tolerance or 0.0,
    )


def _schedule(schedule: schemas.Schedule) -> domain.ScheduleSpec:
    try:
        ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"schedules[{schedule.name}].timezone={schedule.timezone!r} must be an IANA name, "
            "e.g. Europe/Berlin"
        ) from None
    _check_crons(schedule)
    return domain.ScheduleSpec(
        name=schedule.name,
        timezone=schedule.timezone,
        days_of_week=tuple(
            sorted(schemas.DAYS.index(day) for day in schedule.days_of_week or schemas.DAYS)
        ),
        start_time=schedule.start_time or "",
        end_time=schedule.end_time or "",
        start=schedule.start or "",
        end=schedule.end or "",
        min_replicas=schedule.min_replicas,
        max_replicas=schedule.max_replicas,
        freeze=schedule.freeze,
    )


def _check_crons(schedule: schemas.Schedule) -> None:
    place = f"schedules[{schedule.name}]"
    for field, expression in (("start", schedule.start), ("end", schedule.end)):
        try:
            if expression:
                check_cron(expression)
        except ValueError as error:
            raise ValueError(f"{place}.{field}: {error}") from None
    try:
        if schedule.start and schedule.end:
            check_window(schedule.start, schedule.end)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _capacity(
    written: schemas.Capacity, measured: tuple[domain.IndicatorSpec, ...]
) -> domain.CapacitySpec:
    slo_s = written.slo_latency_s
    return domain.CapacitySpec(
        per_replica=written.per_replica,
        cv=written.cv or 0.0,
        latency_indicator=written.latency_indicator or "",
        slo_latency_ms=None if slo_s is None else slo_s * 1000.0,
        also_bound_by=read_further_loads(written, measured),
    )


def _workload_spec(
    written: schemas.GPUAutoscalerSpec,
    measured: tuple[domain.IndicatorSpec, ...],
    sla: domain.SlaSpec,
    pause: Pause,
    labels: Mapping[str, str],
) -> WorkloadSpec:
    behavior = written.behavior or schemas.HPABehavior()
    optional: dict[str, Any] = {}
    if written.fallback is not None:
        optional["fallback_replicas"] = written.fallback.static_replicas
    if written.approval is not None:
        optional["approval_valid_s"] = written.approval.expire_after_s
    return WorkloadSpec(
        **hardware(written),
        kind=labels.get(autoscaler.KIND_LABEL, "service"),
        mode=written.mode,
        min_replicas=written.min_replicas,
        max_replicas=written.max_replicas,
        demand=written.demand,
        demand_counts=read_demand_counts(written, measured),
        indicators=tuple(_shared(indicator) for indicator in measured),
        capacity=_shared(_capacity(written.capacity, measured)),
        lead_time=_shared(to_lead_time(written.lead_time or schemas.LeadTime())),
        sla=_shared(sla),
        behavior=_shared(
            domain.Behavior(
                scale_up=_rules(behavior.scale_up), scale_down=_rules(behavior.scale_down)
            )
        ),
        schedules=tuple(_schedule(schedule) for schedule in written.schedules or ()),
        paused=pause.is_all,
        paused_until=None if pause.until is None else pause.until.isoformat(),
        scale_in_only=pause.is_scale_out,
        scale_out_only=pause.is_scale_in,
        labels={name: str(value) for name, value in labels.items()},
        **optional,
    )


def _shared(part: _Part) -> _Part:
    """The part, or an equal one that another spec of the fleet has already."""
    found: _Part = _cached(part)
    return found


@lru_cache(_N_SHARED)
def _cached(part: Any) -> Any:
    return part


def first_problem(error: ValidationError) -> str:
    """The first mistake, with its field."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def stored_spec(spec: WorkloadSpec | None) -> bytes | None:
    """`workloads.spec` as JSON that is equal for equal specs."""
    if spec is None:
        return None
    return orjson.dumps(spec.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
