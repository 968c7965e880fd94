"""The measurement: load, faults, calm, then the invariants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from services.kernel.clock import SystemClock, last_complete_step
from services.kernel.settings import Settings
from services.lab.bench.faults.bounds import changes
from services.lab.bench.faults.conduct import conduct
from services.lab.bench.faults.fleet import keys
from services.lab.bench.faults.invariants import OriginGrid, recovery_s
from services.lab.bench.faults.report import RunFacts, to_document
from services.lab.bench.faults.rig import FaultRig, RigOptions, Say, rig_settings, running_rig
from services.lab.bench.faults.schedule import PlannedFault, StruckFault, make_schedule
from services.lab.bench.faults.verdict import Evidence, judge

_CALM_S = 20.0
_SETTLE_S = 90.0
_PATIENCE_S = 120.0
_ENDING_S = 20.0


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Options of the measurement.

    Attributes:
        minutes: Time that the faults are spread over.
        old: Code that the platform starts on, as a folder or revision; None: the last release.
    """

    seed: int = 7
    minutes: float = 15.0
    n_faults: int = 40
    n_workloads: int = 24
    step_s: int = 5
    old: str | None = None


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
    is_upgraded = any(planned.kind.act == "upgrade" for planned in schedule)
    asked = RigOptions(options.n_workloads, has_old=is_upgraded, old=options.old)
    with running_rig(given, asked, say, logs) as rig:
        clock = SystemClock()
        first = last_complete_step(clock.now(), options.step_s) + timedelta(seconds=options.step_s)
        struck = conduct(rig, schedule, watch, _PATIENCE_S)
        watch("letting it settle")
        rig.wait(lambda: False, _CALM_S)
        last = last_complete_step(clock.now(), options.step_s)
        grid = OriginGrid(first, last, options.step_s)
        rig.wait(lambda: _is_settled(rig, last), _SETTLE_S)
        return _judged(rig, options, struck, grid)


def _is_settled(rig: FaultRig, last: datetime) -> bool:
    """Check whether all healthy workloads have an action at the last origin."""
    log = rig.rows.log.settled
    if not log:
        return False
    newest = log[-1].origins
    return all(newest.get(key, last - timedelta(days=1)) >= last for key in keys(rig.fleet.healthy))


def end_scaling(rig: FaultRig) -> None:
    """End the operator, so that all that it has recorded was seen, and all seen is recorded."""
    operator = rig.child("operator")
    operator.send(operator.spec.endings[0])
    if not operator.wait(_ENDING_S):
        operator.kill()
    rig.scales.catch_up(_SETTLE_S)


def _judged(
    rig: FaultRig, options: FaultOptions, struck: Sequence[StruckFault], grid: OriginGrid
) -> dict[str, Any]:
    """Look at everything."""
    end_scaling(rig)
    seen, log = rig.scales.seen(), rig.rows.log
    evidence = Evidence(
        fleet=rig.fleet,
        grid=grid,
        seen=seen,
        rows=log,
        accepted=rig.sender.log.accepted_so_far(),
        wrong_pushes=rig.sender.log.wrong,
        wrong_calls=rig.caller.wrong,
        struck=struck,
    )
    verdict = judge(rig.engine, evidence)
    facts = RunFacts(
        seed=options.seed,
        step_s=options.step_s,
        n_workloads=options.n_workloads,
        n_origins=len(list(grid)),
        n_scalings=len(changes(seen)),
        n_samples=sum(map(len, evidence.accepted.values())),
        n_superseded=verdict.n_superseded,
        n_audited=verdict.n_audited,
    )
    recovery = recovery_s(struck, log.settled, keys(rig.fleet.healthy), options.step_s)
    return to_document(facts, struck, verdict.violations, recovery)
