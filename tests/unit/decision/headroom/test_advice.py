"""From rows to what is advised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decider import PEAK_LEVELS, USES
from services.decision.headroom.advice import (
    Dependence,
    TypeNeeds,
    to_advice,
    to_room,
    to_scores,
    to_service,
)
from services.decision.headroom.repository import ADVICE_COLUMNS

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
SUPPLY = {
    "cluster_id": 1, "cluster": "default", "gpu_type": "H100", "ceiling": 96, "node_gpus": 32,
    "asked_gpus": 20, "startup_median_s": 300.0, "startup_sigma": 0.3, "n_startups": 30,
    "gpus_per_node": 8, "headroom_risk": None, "last_chunk_gpus": None,
}  # fmt: skip


def need(workload: int = 1, peak: int = 14, **changes: Any) -> dict[str, Any]:
    """A service that may need up to `peak` replicas of 2 GPUs in any of ten minutes."""
    return {
        "workload_id": workload, "part": "", "gpu_type": "H100", "gpus_per_replica": 2,
        "usd_per_gpu_hour": 3.0, "current_replicas": 10, "held_replicas": 10, "max_replicas": 20,
        "step_s": 60, "peaks": [10] * 12 + [peak] * 3 + [peak] * 15 * 9, "decided_at": NOW,
        "log_risk_price": None, "risk_at_use": None,
    } | changes  # fmt: skip


def known(*needs: Any, n_active: int = 1, **supply: Any) -> TypeNeeds:
    given: Any = SUPPLY | supply
    return TypeNeeds(given, list(needs), n_active, Dependence(0.5, 7, NOW - timedelta(hours=2)))


def advice(found: TypeNeeds) -> dict[str, Any]:
    return to_advice(found, np.random.default_rng(1), NOW)


def test_the_advice_fills_its_row() -> None:
    found = advice(known(need(), n_active=3))
    assert tuple(found) == ADVICE_COLUMNS
    assert (found["need_gpus"], found["gpus"], found["chunk_gpus"]) == (8, 8, 2)
    assert (found["free_gpus"], found["usd_per_hour"], found["risk"]) == (12, 24.0, 0.01)
    assert (found["n_workloads"], found["n_unknown"]) == (1, 2)
    assert (found["dependence"], found["n_dependence_steps"]) == (0.5, 7)
    assert found["advised_at"] == NOW
    assert found["dependence_at"] < NOW


def test_what_is_granted_and_not_asked_for_is_not_free() -> None:
    room = to_room(known(need(held_replicas=13)))
    assert (room.free_gpus, room.most_gpus) == (6, 70)
    room = to_room(known(need(held_replicas=17, current_replicas=10)))
    assert (room.free_gpus, room.most_gpus) == (0, 62)


def test_ceiling_and_budget_limit_it_and_never_below_nothing() -> None:
    assert to_room(replace(known(need()), budget_left=6)).most_gpus == 6
    assert to_room(replace(known(need()), budget_left=0)).most_gpus == 0
    assert to_room(replace(known(need()), budget_left=90)).most_gpus == 76
    assert to_room(known(need(), ceiling=8)).most_gpus == 0


@pytest.mark.parametrize("of_node", [None, 8])
def test_the_smallest_replica_is_the_chunk(of_node: int | None) -> None:
    two = (need(), need(2, gpus_per_replica=4))
    assert to_room(known(*two, gpus_per_node=of_node)).chunk_gpus == 2


def test_a_chunk_fits_on_a_node() -> None:
    assert to_room(known(need(gpus_per_replica=16))).chunk_gpus == 8


def test_without_services_there_is_nothing() -> None:
    nothing = to_room(known(gpus_per_node=None))
    assert (nothing.chunk_gpus, nothing.usd_per_gpu_hour) == (1, 0.0)
    assert advice(known(gpus_per_node=None))["gpus"] == 0


def test_without_services_a_chunk_stays_as_it_was() -> None:
    assert to_room(known(last_chunk_gpus=8)).chunk_gpus == 8
    assert to_room(known(last_chunk_gpus=8, gpus_per_node=4)).chunk_gpus == 4
    assert to_room(known(need(), last_chunk_gpus=8)).chunk_gpus == 2


def test_the_price_is_that_of_the_gpus_in_use() -> None:
    cheap = need(2, usd_per_gpu_hour=1.0, held_replicas=30)
    assert to_room(known(need(), cheap)).usd_per_gpu_hour == pytest.approx(1.5)


def test_without_a_stated_risk_it_is_what_costs_least() -> None:
    """Two in three need four replicas: dear enough, all of them are held, and else none."""
    dear, cheap = (advice(known(need(log_risk_price=log))) for log in (4.0, -4.0))
    assert (dear["gpus"], cheap["gpus"]) == (8, 0)
    assert dear["risk"] < 0.01 < cheap["risk"]
    stated = advice(known(need(log_risk_price=-4.0), headroom_risk=0.01))
    assert (stated["gpus"], stated["risk"]) == (8, 0.01)


def test_a_start_behind_the_forecast_is_said() -> None:
    assert advice(known(need()))["beyond_ratio"] < 0.05
    assert advice(known(need(), startup_median_s=6000.0))["beyond_ratio"] > 0.95


def test_a_row_that_is_spoilt_is_refused() -> None:
    assert to_service(need()).peaks.shape == (10, len(PEAK_LEVELS))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reshape"):
        to_service(need(peaks=[1, 2]))  # type: ignore[arg-type]


def test_scores_stand_in_the_place_of_their_step_and_service() -> None:
    def row(workload: int, minutes: int, demand: float, **changes: Any) -> Any:
        given = {"workload_id": workload, "step_at": NOW + timedelta(minutes=minutes)}
        levels = {"quantile_levels": [0.1, 0.5, 0.9], "quantiles": [1.0, 2.0, 3.0]}
        return given | levels | {"demand": demand} | changes

    scores = to_scores(
        [
            row(7, 0, 2.0),
            row(7, 1, 3.0),
            row(3, 1, 1.0),
            row(3, 0, 1.0, quantiles=[]),
            row(9, 0, float("nan")),
        ]
    )
    expected = [[np.nan, 0.0, np.nan], [-1.2816, 1.2816, np.nan]]
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert to_scores([]).shape == (0, 0)


def test_one_service_with_a_low_price_takes_nothing_from_those_without_any() -> None:
    """Ten of which no decision was made, each of which may need ten replicas more."""
    new = [need(i, peak=20, max_replicas=40) for i in range(2, 12)]
    cheap = need(1, peak=10, log_risk_price=0.0)
    assert advice(known(*new, ceiling=900))["gpus"] == 200
    assert advice(known(cheap, *new, ceiling=900))["gpus"] == 200


def test_what_a_missing_replica_costs_is_what_its_response_says() -> None:
    """At 30 replica-steps for a step out of SLA, of which a missing replica leaves 1 % out."""
    edge = need(log_risk_price=np.log(30.0))
    soft = need(log_risk_price=np.log(30.0), risk_at_use=[0.01 * n for n in range(len(USES))])
    assert to_service(edge).risk_at_use is None
    assert advice(known(soft))["gpus"] == 0 < advice(known(edge))["gpus"]
