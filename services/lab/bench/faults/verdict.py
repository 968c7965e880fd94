"""All invariants together, by the rows and by what was seen from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Engine

from services.kernel.security.audit import AuditReport, verify_audit
from services.lab.bench.faults import invariants
from services.lab.bench.faults.bounds import Violation, changes, check_bounds
from services.lab.bench.faults.fleet import DEMAND, FaultFleet, keys
from services.lab.bench.faults.invariants import OriginGrid
from services.lab.bench.faults.outside import repository
from services.lab.bench.faults.outside.row_log import RowLog
from services.lab.bench.faults.outside.scale_log import SeenScale
from services.lab.bench.faults.schedule import StruckFault

_SEEN_LATE_S = 4.0
"""A slow answer of the API server holds the watcher back as well."""
_CLOCKS_AGREE_S = 1.0
"""Clocks that differ by less count as one."""
_BEFORE = timedelta(minutes=10)
"""Scalings of the start belong to what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run left.

    Attributes:
        grid: Origins that must be there.
        seen: All scales that the watcher saw.
        rows: What the watcher of the rows saw.
        accepted: Seconds of accepted samples, by workload.
        wrong_pushes: Answers that the sender should not have got.
        wrong_calls: Answers that the caller of the API should not have got.
        struck: The faults.
    """

    fleet: FaultFleet
    grid: OriginGrid
    seen: Sequence[SeenScale] = ()
    rows: RowLog = field(default_factory=RowLog)
    accepted: Mapping[str, set[int]] = field(default_factory=dict)
    wrong_pushes: Sequence[str] = ()
    wrong_calls: Sequence[str] = ()
    struck: Sequence[StruckFault] = ()


@dataclass(frozen=True, slots=True)
class FaultFindings:
    """What was found.

    Attributes:
        violations: Everything that did not hold.
        n_superseded: Decisions of healthy workloads that came too late to be applied, and origins
            that newer ones passed, as recorded.
        n_audited: Entries of the audit chain.
    """

    violations: list[Violation]
    n_superseded: int
    n_audited: int


def judge(engine: Engine, evidence: Evidence) -> FaultFindings:
    """Hold the rows and the evidence against every invariant."""
    fleet, grid = evidence.fleet, evidence.grid
    since = grid.first - _BEFORE
    gold = sorted(one.key for one in fleet.members if one.sla_class == "gold")
    with engine.connect() as connection:
        counts = repository.load_origins(connection, grid.first, grid.last)
        records = repository.load_scalings(connection, since)
        backward = repository.load_backward_actions(connection, since)
        stored = repository.load_sample_seconds(connection, DEMAND, since)
        passed = repository.load_passed(connection, gold)
        audit = verify_audit(connection)
    healthy = keys(fleet.healthy)
    violations = [
        *invariants.check_origins(counts, healthy, grid, passed, evidence.struck),
        *invariants.check_turns(passed, gold, grid, evidence.struck),
        *invariants.check_records(changes(evidence.seen), records),
        *invariants.check_order(backward),
        *invariants.check_intents(evidence.rows.intents, evidence.struck),
        *check_bounds(fleet, evidence.seen, _CLOCKS_AGREE_S + _SEEN_LATE_S),
        *invariants.check_samples(evidence.accepted, stored),
        *invariants.check_answers(evidence.wrong_pushes, evidence.wrong_calls),
        *invariants.check_blast(evidence.rows.failing, fleet.victim.key, evidence.struck),
        *_check_audit(audit),
    ]
    n_superseded = sum(one.is_superseded and one.key in healthy for one in counts)
    n_superseded += sum(
        one.key in healthy and grid.first <= one.origin_at <= grid.last for one in passed
    )
    return FaultFindings(violations, n_superseded, audit.n_entries)


def _check_audit(audit: AuditReport) -> list[Violation]:
    if audit.is_intact:
        return []
    text = f"entry {audit.first_broken_id} does not follow from the one before"
    return [Violation("audit", text)]
