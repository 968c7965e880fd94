"""Headroom of every GPU type as it is advised, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.kernel import telemetry
from services.operator.plan.supply import TypeSupply
from services.operator.reconcile.memory import OperatorDeps
from services.operator.stored import headroom_repository

_GAUGES = (
    telemetry.gpu_headroom_gpus,
    telemetry.gpu_headroom_usd_per_hour,
    telemetry.gpu_headroom_risk_averted_ratio,
)


def with_headroom(
    connection: Connection,
    deps: OperatorDeps,
    supplies: Mapping[str, TypeSupply],
    now: datetime,
) -> dict[str, TypeSupply]:
    """The supplies with what is advised for those that are provisioned.

    Advice that is older than other facts may be counts as none.
    """
    provisioned = [name for name, each in supplies.items() if each.is_provisioned]
    stale_s = deps.settings.step_s * deps.settings.stale_after_steps
    oldest = now - timedelta(seconds=stale_s)
    advice = headroom_repository.load_advice(connection, oldest) if provisioned else {}
    found = dict(supplies)
    for name in provisioned:
        headroom = supplies[name].headroom
        known = None if headroom.is_off else advice.get(name)
        found[name] = replace(supplies[name], headroom=replace(headroom, advice=known))
    publish_headroom(deps, found)
    return found


def publish_headroom(deps: OperatorDeps, supplies: Mapping[str, TypeSupply]) -> None:
    """Set the gauges of what is advised; a type without advice has no series."""
    for gauge in _GAUGES:
        gauge.clear()
    for name, supply in supplies.items():
        advice = supply.headroom.advice
        if advice is None:
            continue
        values = (advice.gpus, advice.usd_per_hour, advice.risk_averted)
        for gauge, value in zip(_GAUGES, values, strict=True):
            gauge.labels(deps.settings.cluster, name).set(value)
