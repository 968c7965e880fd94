"""What pools miss together is what brute force over joint paths finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import DecideConfig, MissDraws
from decider.planning.fallback import DecisionTime, stand
from decider.planning.outlook import look_ahead
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.pool_cases import (
    brute_risk,
    service,
    service_response,
    standings,
    two_pools,
)
from tests.unit.decider.shards import NOW_S, noisy
from tests.unit.decider.tables.soft_cases import sla, soft_shard

CONFIG = DecideConfig()
kinds = pytest.mark.parametrize("kind", RISK_KINDS)


def loads(seed: int = 0, n_paths: int = 40) -> np.ndarray:
    return np.stack(
        [noisy(100.0, seed, n_paths=n_paths, cv=0.3), noisy(200.0, seed + 1, n_paths=n_paths)]
    )


@kinds
@pytest.mark.parametrize("drawn", [None, service_response(3)])
@pytest.mark.parametrize("counts", [(10, 21), (13, 24), (40, 12)])
def test_it_is_what_brute_force_finds(
    kind: RiskKind, drawn: MissDraws | None, counts: tuple[int, int]
) -> None:
    request = service(loads(), drawn, two_pools(sla(kind)))
    outlook = look_ahead(request, standings(request, CONFIG), CONFIG)
    at = np.array(counts, dtype=float)
    found = outlook.services[0].scenarios.risk(np.arange(6), np.tile(at, (6, 1)))
    expected = brute_risk(request, outlook.scenarios, at, kind)
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)


def test_no_load_is_nobodys_miss_and_no_replica_misses_all() -> None:
    paths = np.stack([np.zeros((20, 6)), noisy(50.0, n_paths=20)])
    request = service(paths, service_response(1), two_pools(sla("TimeFraction")))
    joint = look_ahead(request, standings(request, CONFIG), CONFIG).services[0].scenarios
    steps = np.zeros(1, dtype=np.int64)
    assert joint.risk(steps, np.array([[0.0, 400.0]]))[0] < 1e-9
    assert joint.risk(steps, np.array([[5.0, 0.0]]))[0] == 1.0


def test_any_step_counts_over_joint_paths() -> None:
    """Two steps that are bad together are one violation, apart they are two."""
    wave = np.tile([[150.0] * 6, [50.0] * 6], (50, 1))
    together = service(np.stack([wave, wave]), None, two_pools(sla("AnyInWindow")))
    apart = service(np.stack([wave, wave[::-1]]), None, two_pools(sla("AnyInWindow")))
    found = [
        look_ahead(one, standings(one, CONFIG), CONFIG)
        .services[0]
        .scenarios.any_out(np.full((6, 2), 12.0))
        for one in (together, apart)
    ]
    assert found == pytest.approx([0.5, 1.0])


@kinds
def test_at_equal_counts_pools_miss_what_one_workload_with_all_loads_does(kind: RiskKind) -> None:
    """A pool may have several loads; the use of all is one, however they are shared out."""
    whole = service_response(5, n_further=2)
    first, second, third = noisy(100.0, 1), noisy(200.0, 2), noisy(400.0, 3)
    owners = two_pools(sla(kind))
    assert owners[0].pool is not None
    owners[0] = replace(
        owners[0], pool=replace(owners[0].pool, loads=(0, 2)), further_capacity=(40.0,)
    )
    split = replace(
        service(np.stack([first, second]), whole, owners),
        further_paths=(third[None], None),
    )
    one = replace(owners[0], pool=None, further_capacity=(20.0, 40.0))
    plain = replace(
        soft_shard(first, [None], [one]),
        responses=(whole,),
        further_paths=(np.stack([second, third]),),
    )
    outlook = look_ahead(split, standings(split, CONFIG), CONFIG)
    time = DecisionTime(NOW_S, plain.step_s)
    alone = look_ahead(
        plain,
        [stand(one, first, time, 10.0, CONFIG.fallback, plain.further(0))],
        CONFIG,
    )
    for count in (12, 16, 20):
        counts = np.full((6, 2), float(count))
        found = outlook.services[0].scenarios.risk(np.arange(6), counts)
        risk = alone.steps.unmet if kind == "DemandFraction" else alone.steps.violation
        expected = risk[0, :, alone.grid.row_index(0, np.array([count]))[0]]
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-4)
