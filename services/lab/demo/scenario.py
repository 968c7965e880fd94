"""Scenario of the demo: a generated fleet or a real trace, with its history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.demo.options import REAL_DEMAND, DemoOptions
from services.simulator.fleet import (
    Fleet,
    FleetOptions,
    ScaledFleet,
    TraceError,
    TraceOptions,
    fleet_of,
    generate_fleet,
    unsplit,
    with_pools,
)
from services.simulator.measurements import ColumnChoice, read_file

_DAY_S = 86400
MAX_TRACE_HISTORY_STEPS = 4032


def load_fleet(options: DemoOptions) -> ScaledFleet:
    """Generate the fleet, one service of it with pools, or read the trace, which has none.

    Raises:
        InvalidInput: The trace cannot be used; the message says why and what would be right.
    """
    if options.data is not None:
        return unsplit(_from_trace(options))
    n_replay = round(options.hours * 3600 / options.step_s)
    wanted = FleetOptions(
        seed=options.seed,
        n_workloads=options.n_workloads,
        step_s=options.step_s,
        n_history=round(options.history_days * _DAY_S / options.step_s),
        n_replay=n_replay,
        epsilon=options.epsilon,
    )
    return with_pools(generate_fleet(wanted))


def _from_trace(options: DemoOptions) -> Fleet:
    assert options.data is not None
    wanted = TraceOptions(
        replay_hours=options.hours,
        max_history_steps=MAX_TRACE_HISTORY_STEPS,
        seed=options.seed,
        epsilon=options.epsilon,
    )
    try:
        found = read_file(options.data, ColumnChoice(demand=options.demand))
        # finer than the demo's step: resample
        is_finer = found.trace.interval_s < options.step_s
        if is_finer or options.has_asked_step:
            wanted = replace(wanted, step_s=options.step_s)
        loaded = fleet_of(found.trace, found.name, wanted)
    except TraceError as error:
        asked = "real demand" if options.data == REAL_DEMAND else f"--data={options.data}"
        raise InvalidInput(f"{asked}: {error}") from error
    notes = tuple(f"{drop.workload} left out: {drop.reason}" for drop in loaded.dropped)
    said = () if options.data == REAL_DEMAND else (*found.said, loaded.end_said)
    fleet = replace(loaded.fleet, notes=loaded.fleet.notes + said + notes)
    fleet = _first_workloads(fleet, options.n_workloads)
    return _with_known_demand(fleet) if options.truth == "served" else fleet


def _with_known_demand(fleet: Fleet) -> Fleet:
    """The fleet with demand in the gaps of its measurements, which nobody sees.

    Requests go on while a meter is silent. What came then is taken to lie on the line between what
    was seen before and after.
    """
    steps = np.arange(fleet.n_steps)
    demand = fleet.demand.copy()
    for row in demand:
        known = np.isfinite(row)
        row[~known] = np.interp(steps[~known], steps[known], row[known])
    n_filled = int((~np.isfinite(fleet.demand)).sum())
    if not n_filled:
        return fleet
    note = (
        f"{n_filled / demand.size:.1%} of the demand was not measured: nobody sees it, and what "
        "requests felt then is told by a straight line between what was measured."
    )
    return replace(fleet, demand=demand, notes=(*fleet.notes, note))


def _first_workloads(fleet: Fleet, n_most: int) -> Fleet:
    if fleet.n_workloads <= n_most:
        return fleet
    note = f"the first {n_most} of {fleet.n_workloads} workloads; see --workloads"
    return replace(
        fleet,
        workloads=fleet.workloads[:n_most],
        demand=fleet.demand[:n_most],
        values=fleet.values[:n_most],
        observed=fleet.observed[:n_most],
        notes=(*fleet.notes, note),
    )
