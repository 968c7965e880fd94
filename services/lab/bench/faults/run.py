"""The measurement: load, faults, calm, then the invariants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from services.kernel.clock import SystemClock, last_complete_step
from services.kernel.security.audit import AuditReport, verify_audit
from services.kernel.settings import Settings
from services.lab.bench.faults import invariants
from services.lab.bench.faults.bounds import Violation, changes, check_bounds
from services.lab.bench.faults.conduct import conduct
from services.lab.bench.faults.fleet import DEMAND, keys
from services.lab.bench.faults.kinds import SKEW_S
from services.lab.bench.faults.outside import repository
from services.lab.bench.faults.report import RunFacts, to_document
from services.lab.bench.faults.rig import FaultRig, Say, rig_settings, running_rig
from services.lab.bench.faults.schedule import PlannedFault, StruckFault, make_schedule

_CALM_S = 20.0
_SETTLE_S = 90.0
_PATIENCE_S = 120.0
_SEEN_LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Options of the measurement.

    Attributes:
        minutes: Time that the faults are spread over.
    """

    seed: int = 7
    minutes: float = 15.0
    n_faults: int = 40
    n_workloads: int = 24
    step_s: int = 5


def run_faults(
    options: FaultOptions,
    settings: Settings,
    watch: Say,
    say: Say,
    logs: Path | None = None,
    schedule: Sequence[PlannedFault] | None = None,
) -> dict[str, Any]:
    """Run the platform through a schedule of faults; the document of `--json`.

    Args:
        options: What is asked for.
        settings: The caller's; the servers are always embedded ones of this run alone.
        watch: Called with what is in force, as it changes.
        say: Called with lines about processes that end and come back.
        logs: Folder that the processes' logs are left in.
        schedule: The faults; None: drawn from the seed.

    Raises:
        Unavailable: Something does not start.
    """
    if schedule is None:
        schedule = make_schedule(options.seed, options.n_faults, 60.0 * options.minutes)
    given = rig_settings(settings, options.seed, options.step_s)
    watch("starting the platform")
    with running_rig(given, options.n_workloads, say, logs) as rig:
        clock = SystemClock()
        first = last_complete_step(clock.now(), options.step_s) + timedelta(seconds=options.step_s)
        struck = conduct(rig, schedule, watch, _PATIENCE_S)
        watch("letting it settle")
        rig.wait(lambda: False, _CALM_S)
        last = last_complete_step(clock.now(), options.step_s)
        grid = invariants.OriginGrid(first, last, options.step_s)
        rig.wait(lambda: _is_settled(rig, last), _SETTLE_S)
        return _judged(rig, options, struck, grid)


def _is_settled(rig: FaultRig, last: datetime) -> bool:
    """Check whether all healthy workloads have an action at the last origin."""
    log = rig.rows.log.settled
    if not log:
        return False
    newest = log[-1].origins
    return all(newest.get(key, last - timedelta(days=1)) >= last for key in keys(rig.fleet.healthy))


def _judged(
    rig: FaultRig,
    options: FaultOptions,
    struck: Sequence[StruckFault],
    grid: invariants.OriginGrid,
) -> dict[str, Any]:
    """Look at everything."""
    since = grid.first - timedelta(minutes=10)
    with rig.engine.connect() as connection:
        counts = repository.load_origins(connection, grid.first, grid.last)
        records = repository.load_scalings(connection, since)
        backward = repository.load_backward_actions(connection, since)
        stored = repository.load_sample_seconds(connection, DEMAND, since)
        audit = verify_audit(connection)
    healthy = keys(rig.fleet.healthy)
    seen = rig.scales.seen()
    found = [
        *invariants.check_origins(counts, healthy, grid),
        *invariants.check_records(changes(seen), records),
        *invariants.check_order(backward),
        *invariants.check_intents(rig.rows.log.intents, struck),
        *check_bounds(rig.fleet, seen, SKEW_S + _SEEN_LATE_S),
        *invariants.check_samples(dict(rig.sender.log.accepted), stored),
        *invariants.check_answers(rig.sender.log.wrong, rig.caller.wrong),
        *invariants.check_blast(rig.rows.log.failing, rig.fleet.victim.key),
        *_check_audit(audit),
    ]
    facts = RunFacts(
        seed=options.seed,
        step_s=options.step_s,
        n_workloads=options.n_workloads,
        n_origins=len(list(grid)),
        n_scalings=len(changes(seen)),
        n_samples=sum(map(len, rig.sender.log.accepted.values())),
        n_superseded=sum(one.is_superseded and one.key in healthy for one in counts),
        n_audited=audit.n_entries,
    )
    recovery = invariants.recovery_s(struck, rig.rows.log.settled, healthy, options.step_s)
    return to_document(facts, struck, found, recovery)


def _check_audit(audit: AuditReport) -> list[Violation]:
    if audit.is_intact:
        return []
    return [
        Violation("audit", f"entry {audit.first_broken_id} does not follow from the one before")
    ]
