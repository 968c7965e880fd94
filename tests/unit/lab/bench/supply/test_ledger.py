"""The account: time out of SLA over known time, and what stands about meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.supply.ledger import SupplyLedger


def test_time_counts_by_pieces_and_only_where_demand_is_known() -> None:
    need = np.array([[2.0, 2.0, 2.0], [1.0, np.nan, 1.0]])
    ledger = SupplyLedger(need, 60.0, 1)
    for step, (ready, nodes) in enumerate([((0, 0), 9), ((1, 0), 1), ((2, 0), 2)]):
        ledger.add(step, 60.0, np.array(ready, dtype=float), nodes, 3)
    assert ledger.violation(1)[0] == 1.0
    assert np.isnan(ledger.violation(1)[1])
    found = ledger.figures()
    assert found.rates.tolist() == [0.5, 1.0]  # the unknown minute is no time of the second
    assert found.rate == 0.75
    assert found.node_hours == pytest.approx(3 / 60)  # the first step is not counted
    assert found.pending_replica_hours == pytest.approx(6 / 60)
    assert found.replica_hours == pytest.approx(3 / 60)


def test_a_service_of_which_nothing_is_known_is_left_out() -> None:
    ledger = SupplyLedger(np.array([[1.0], [np.nan]]), 60.0, 0)
    ledger.add(0, 60.0, np.zeros(2), 0, 0)
    assert ledger.figures().rate == 1.0


def test_as_many_as_are_needed_are_enough() -> None:
    ledger = SupplyLedger(np.array([[2.0]]), 60.0, 0)
    ledger.add(0, 60.0, np.array([2.0]), 0, 0)
    assert ledger.figures().rate == 0.0
