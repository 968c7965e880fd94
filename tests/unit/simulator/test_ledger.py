"""The ledger of a run: accounts of steps as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.engine.specs import Interval
from services.simulator.ledger import RunLedger
from tests.unit.simulator.fleets import make_fleet


@pytest.fixture
def ledger() -> RunLedger:
    fleet = make_fleet([[9.0, 2.0, 4.0], [9.0, 1.0, 1.0]], n_history=1, gpus=2)
    found = RunLedger(fleet, "mine", np.array([3.0, 3.0]))
    found.record(0, 0, 3, [Interval(60, 120, 3, 4)])
    found.record(1, 0, 1, [Interval(60, 120, 1, 1)])
    return found


def test_a_step_is_accounted_against_the_replayed_demand(ledger: RunLedger) -> None:
    account = ledger.record(0, 1, 5, [Interval(120, 150, 3, 5), Interval(150, 180, 5, 5)])
    assert (account.violation_s, account.shortage) == (30.0, 30.0)
    ledger.record(1, 1, 1, [Interval(120, 180, 1, 1)])
    run = ledger.run()
    assert run.name == "mine"
    assert run.spec.tolist() == [[3.0, 5.0], [1.0, 1.0]]
    assert run.violation_s.tolist() == [[0.0, 30.0], [0.0, 0.0]]
    assert run.gpu_s.tolist() == [[480.0, 600.0], [120.0, 120.0]]
    assert run.initial.tolist() == [3.0, 3.0]


def test_a_run_cut_short_has_the_steps_that_were_recorded(ledger: RunLedger) -> None:
    assert ledger.run(1).spec.tolist() == [[3.0], [1.0]]
    with pytest.raises(ValueError, match="2 workload steps of the run were never recorded"):
        ledger.run()


def test_the_first_steps_of_a_run(ledger: RunLedger) -> None:
    for workload in (0, 1):
        ledger.record(workload, 1, 2, [Interval(120, 180, 2, 2)])
    run = ledger.run()
    first = run.first(1)
    assert first.ready_mean.shape == (2, 1)
    assert (first.name, first.initial.tolist()) == (run.name, run.initial.tolist())
