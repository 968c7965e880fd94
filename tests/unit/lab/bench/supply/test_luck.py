"""The luck of a run: the same for all policies, and as often as was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.supply.luck import supply_luck
from services.lab.bench.supply.options import SupplyOptions

WEEK = SupplyOptions(days=7.0, spot_per_day=40.0, failure_share=0.2)


def test_a_seed_has_one_luck_whatever_the_start_up() -> None:
    one = supply_luck(WEEK, 3, 2)
    other = supply_luck(SupplyOptions(days=7.0, spot_per_day=40.0, failure_share=0.2), 3, 2)
    assert np.array_equal(one.startup_z, other.startup_z)
    assert np.array_equal(one.outages_s, other.outages_s)
    assert not np.array_equal(one.startup_z, supply_luck(WEEK, 4, 2).startup_z)


def test_interruptions_and_outages_are_as_often_as_asked() -> None:
    length_s = WEEK.warm_up_s + WEEK.counted_s
    found = [supply_luck(WEEK, seed, 2) for seed in range(20)]
    per_day = np.mean([each.notices_s.size for each in found]) / (length_s / 86_400.0)
    assert per_day == pytest.approx(40.0, rel=0.05)
    out_s = [np.clip(e.outages_s, 0.0, length_s) @ np.array([-1.0, 1.0]) for e in found]
    assert np.mean([each.sum() for each in out_s]) / length_s == pytest.approx(0.2, abs=0.02)
    for each in found:
        assert (np.diff(each.outages_s.ravel()) >= 0).all()
        assert (np.diff(each.notices_s) >= 0).all()
        assert ((each.picks >= 0) & (each.picks < 1)).all()


def test_without_outages_a_node_can_always_be_had() -> None:
    plain = supply_luck(SupplyOptions(spot_per_day=0.0, failure_share=0.0), 3, 2)
    assert plain.notices_s.size == 0
    assert not plain.is_out(0.0)


def test_an_outage_has_a_beginning_and_an_end() -> None:
    found = supply_luck(WEEK, 3, 2)
    from_s, until_s = found.outages_s[0]
    assert found.is_out(float(from_s))
    assert not found.is_out(float(until_s))
