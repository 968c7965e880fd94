"""A run of Harmony: every promise at every step, the careful one on more replicas."""

from __future__ import annotations

import numpy as np

from services.lab.bench.supply.options import SupplyOptions
from services.lab.bench.supply.own import run_own
from services.lab.bench.supply.own_side import HarmonySide
from services.lab.bench.supply.run import cluster_maker
from tests.unit.lab.bench.supply.small import said, task, with_gap

CALM = SupplyOptions(spot_per_day=0.0, failure_share=0.0, is_quick=True)


def test_a_careful_promise_costs_more_and_breaks_no_more() -> None:
    given = task(35.0, 15.0)
    make = cluster_maker(given, CALM, 60.0)
    sides = [HarmonySide(given, make(), promise) for promise in (0.002, 0.3)]
    careful, careless = run_own(given, said(given, 0.15), sides)
    assert (careful.promise, careless.promise) == (0.002, 0.3)
    assert careful.figures.replica_hours > careless.figures.replica_hours
    assert careful.figures.rate <= careless.figures.rate


def test_the_same_run_gives_the_same_figures_and_gaps_are_no_demand() -> None:
    given = with_gap(task(35.0, 15.0), 12, 15)
    found = []
    for _ in range(2):
        make = cluster_maker(given, CALM, 120.0)
        found += run_own(given, said(task(35.0, 15.0)), [HarmonySide(given, make(), 0.01)])
    one, same = (each.figures for each in found)
    assert one.node_hours == same.node_hours
    assert np.array_equal(one.rates, same.rates)
    assert np.isfinite(one.rate)
