"""Profiles of the kinds of workload fit together."""

from __future__ import annotations

import pytest

from services.simulator.fleet.profiles import (
    CLOSED_LOOP,
    PRICE_USD_PER_GPU_HOUR,
    PROFILES,
)


@pytest.mark.parametrize("kind", list(PROFILES))
def test_every_kind_has_a_demand_and_prices(kind: str) -> None:
    profile = PROFILES[kind]
    names = [spec.name for spec in profile.indicators]
    assert profile.demand in names
    assert len({*names, *(spec.name for spec in CLOSED_LOOP)}) == len(names) + len(CLOSED_LOOP)
    assert all(gpu_type in PRICE_USD_PER_GPU_HOUR for gpu_type, _, _ in profile.hardware)
    assert all(gpus >= 1 and capacity > 0 for _, gpus, capacity in profile.hardware)


@pytest.mark.parametrize("kind", list(PROFILES))
def test_ranges_rise(kind: str) -> None:
    profile = PROFILES[kind]
    for low, high in (
        profile.work_per_request,
        profile.lag_s,
        profile.clients_per_rps,
        profile.daily_amplitude,
        profile.weekend_log,
        profile.bursts_per_day,
        profile.start_extra_s,
    ):
        assert low <= high
