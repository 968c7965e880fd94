"""Use cases: advise for one workload now, and for the whole fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from prometheus_client import Gauge
from pydantic import ValidationError
from sqlalchemy import Engine, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from services.kernel import telemetry
from services.kernel.clock import Clock
from services.kernel.db.session import unit_of_work
from services.kernel.domain import WorkloadSpec, known_spec
from services.kernel.errors import Conflict, NotFound, Unavailable
from services.kernel.settings import Settings
from services.scaler import repository
from services.scaler.plan import Advice, WorkloadFacts, advise
from services.scaler.translate import Key, to_facts

log = structlog.get_logger("scaler")

_AHEAD = timedelta(seconds=30)
"""Clocks that are looked after differ by less."""


class SeriesLabels(NamedTuple):
    """Labels of a workload's series."""

    cluster: str
    namespace: str
    workload: str


@dataclass(frozen=True, slots=True)
class ScalerDeps:
    """Dependencies of the external scaler."""

    engine: Engine
    clock: Clock
    settings: Settings


def advise_one(deps: ScalerDeps, key: Key, part: str = "") -> Advice:
    """Advise for a workload, or one of its parts, now; one query.

    Raises:
        NotFound: There is no such workload, or its GPUAutoscaler was deleted.
        Unavailable: The database cannot be read.
    """
    settings = deps.settings
    try:
        with unit_of_work(deps.engine) as work:
            row = repository.load_one(work.connection, *key, settings.policy_version, _until(deps))
    except SQLAlchemyError as error:
        raise _unavailable(error) from error
    if row is None:
        raise not_found(key)
    if not row["is_active"]:
        raise NotFound(f"GPUAutoscaler {'/'.join(key)} was deleted; create it again")
    spec = _to_spec(key, row["spec"])
    return advise(to_facts(row, spec, settings.decision_ttl_steps), deps.clock.now(), part)


def _until(deps: ScalerDeps) -> datetime:
    """What is of a later time is of a clock that was ahead: the operator does not follow it."""
    return deps.clock.now() + _AHEAD


def not_found(key: Key) -> NotFound:
    """The error of a workload that is not there."""
    return NotFound(
        f"no GPUAutoscaler {'/'.join(key)} is registered: correct the trigger's metadata, or "
        "create it and see that Harmony's operator runs"
    )


def _to_spec(key: Key, stored: Mapping[str, Any]) -> WorkloadSpec:
    try:
        return known_spec(stored)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Conflict(
            f"the stored spec of {'/'.join(key)} cannot be read ({place}: {first['msg']}); run the "
            "same version of Harmony's operator and scaler"
        ) from error


def _unavailable(error: SQLAlchemyError) -> Unavailable:
    """The error for the caller, without the server's address and user, which only the log has."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    log.warning("database_unreadable", error=reason)
    return Unavailable(
        "Harmony's database cannot be read; KEDA applies the ScaledObject's fallback until it is "
        "back; the scaler's log says why"
    )


@dataclass(slots=True)
class FleetFacts:
    """The facts of the fleet as they were read last; the advice is made for each `now`.

    So an advice ends when its time is up, also while the database cannot be read.

    Attributes:
        facts: By workload.
    """

    facts: dict[Key, WorkloadFacts] = field(default_factory=dict)
    _specs: dict[int, tuple[int, WorkloadSpec | None]] = field(default_factory=dict)
    _shown: dict[Gauge, set[SeriesLabels]] = field(default_factory=dict)

    def refresh(self, deps: ScalerDeps) -> None:
        """Read the whole fleet: one query, and one more where specs changed.

        A spec that cannot be read leaves its workload out, and is logged once. So does any other
        row of it that somebody made something else by hand, which is logged each time.

        Raises:
            Unavailable: The database cannot be read; the facts stay as they were.
        """
        settings = deps.settings
        try:
            with unit_of_work(deps.engine) as work:
                version, until = settings.policy_version, _until(deps)
                rows = repository.load_active(work.connection, version, until)
                new = [row["id"] for row in rows if not self._is_known(row)]
                loaded = repository.load_specs(work.connection, new) if new else {}
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        self._specs = {
            row["id"]: (row["spec_version"], _readable(row, loaded[row["id"]]))
            if row["id"] in loaded
            else self._specs[row["id"]]
            for row in rows
        }
        read = (_facts(row, self._specs[row["id"]][1], settings.decision_ttl_steps) for row in rows)
        self.facts = {(one.namespace, one.name): one for one in read if one is not None}

    def _is_known(self, row: RowMapping) -> bool:
        known = self._specs.get(row["id"])
        return known is not None and known[0] == row["spec_version"]

    def advice(self, key: Key, now: datetime, part: str = "") -> Advice:
        """The advice for a workload, or one of its parts, from the facts as they were read last.

        Raises:
            NotFound: There are no facts of it.
        """
        if key not in self.facts:
            raise not_found(key)
        return advise(self.facts[key], now, part)

    def publish(self, now: datetime) -> None:
        """Set the gauges; what is not known has no series, so nothing old is ever followed.

        A part's series has the name `WORKLOAD_PART`, which no workload has, and which the label
        selector of an HPA may be.
        """
        counts: dict[SeriesLabels, float] = {}
        ends_s: dict[SeriesLabels, float] = {}
        for (namespace, name), facts, part in self._targets():
            advice = advise(facts, now, part)
            own = f"{name}_{part}" if part else name
            labels = SeriesLabels(facts.cluster, namespace, own)
            if advice.count is not None:
                counts[labels] = advice.count
            if advice.valid_until is not None:
                ends_s[labels] = advice.valid_until.timestamp()
        self._show(telemetry.advised_replicas, counts)
        self._show(telemetry.advice_expires_timestamp_seconds, ends_s)

    def _targets(self) -> Iterator[tuple[Key, WorkloadFacts, str]]:
        """Every workload with its facts, and the name of each of its parts."""
        for key, facts in self.facts.items():
            for name in [part.name for part in facts.spec.parts] or [""]:
                yield key, facts, name

    def _show(self, gauge: Gauge, values: Mapping[SeriesLabels, float]) -> None:
        for key, value in values.items():
            gauge.labels(*key).set(value)
        for key in self._shown.get(gauge, set()) - values.keys():
            gauge.remove(*key)
        self._shown[gauge] = set(values)


def _facts(row: RowMapping, spec: WorkloadSpec | None, ttl_steps: int) -> WorkloadFacts | None:
    if spec is None:
        return None
    try:
        return to_facts(row, spec, ttl_steps)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        key = f"{row['namespace']}/{row['name']}"
        log.warning("rows_unreadable", workload=key, error=repr(error)[:200])
        return None


def _readable(row: RowMapping, stored: Mapping[str, Any]) -> WorkloadSpec | None:
    try:
        return _to_spec((row["namespace"], row["name"]), stored)
    except Conflict as error:
        log.warning("spec_unreadable", error=error.message)
        return None
