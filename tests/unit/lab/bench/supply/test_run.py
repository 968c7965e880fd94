"""All of it, quickly: every policy on the same luck, by the shipped forecaster."""

from __future__ import annotations

import pytest

from services.lab.bench.supply.document import supply_document
from services.lab.bench.supply.options import HEADROOM, HPA, SupplyOptions
from services.lab.bench.supply.own import PROMISES
from services.lab.bench.supply.run import cluster_maker, run_cell, run_supply
from services.simulator.policies.rivals import HARMONY
from tests.unit.lab.bench.supply.small import task


@pytest.mark.slow
def test_a_quick_run_says_what_everybody_costs_and_breaks() -> None:
    options = SupplyOptions(
        startups_s=(120.0,), policies=(HPA, HARMONY), is_quick=True, days=1 / 24
    )
    told: list[str] = []
    (cell,) = run_supply(options, told.append)
    assert len(cell.of(HARMONY)) == len(PROMISES)
    assert not cell.of(HEADROOM)
    for each in cell.settings:
        assert 0.0 <= each.figures.rate <= 1.0
        assert each.figures.node_hours > 0.0
    careful, *_, careless = cell.of(HARMONY)
    assert careful.figures.replica_hours >= careless.figures.replica_hours
    found = supply_document([cell])["summary"]
    assert found["promised"] == 0.01
    assert found["true_rate"] is not None
    assert any(HARMONY in line for line in told)


def test_without_harmony_nothing_is_forecast() -> None:
    options = SupplyOptions(policies=(HPA,), is_quick=True)
    found = run_cell(task(), options, 60.0, None, lambda _: None)
    assert {each.policy for each in found} == {HPA}


def test_every_cluster_of_a_run_meets_the_same_luck() -> None:
    make = cluster_maker(task(), SupplyOptions(), 60.0)
    one, other = make(), make()
    for each in (one, other):
        each.scale([12, 9])
        each.advance(1800.0)
    assert one.ledger.figures().node_hours == other.ledger.figures().node_hours
    assert one.pool is not other.pool
