"""Starts on free GPUs by what they have to do first: a law for each cause."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.decision.rows import lead_times
from services.decision.rows.inputs import ShardRows, lead_time_of
from services.decision.rows.lead_times import Known, RoomOfTarget
from services.decision.rows.members import ShardMember
from tests.unit.decision.rows.test_lead_times import NOW, spec_of
from tests.unit.decision.rows.test_lead_times_new_nodes import PLAIN

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
RNG = np.random.default_rng(7)


def started(seconds: float, cause: str | None) -> Any:
    requested = NOW - timedelta(hours=1)
    return {
        "workload_id": 1, "gpu_type": "H100", "requested_at": requested, "bound_at": None,
        "ready_at": requested + timedelta(seconds=seconds), "gone_at": None,
        "is_new_node": False, "cause": cause,
    }  # fmt: skip


def many(median_s: float, cause: str | None, n: int = 20) -> list[Any]:
    return [started(s, cause) for s in median_s * np.exp(0.1 * RNG.standard_normal(n))]


WARM, COLD, RESTORED = many(20.0, "warm"), many(200.0, "cold"), many(5.0, "restored")


def state(warm: int | None, free: int = 8) -> Any:
    return {
        "schedulable_gpus": free, "new_node_gpus": None, "pending_replicas": 0, "variants": None,
        "warm_gpus": warm,
    }  # fmt: skip


def lead_s(seen: Any, starts: Any) -> Any:
    member = ShardMember(1, "demo", "w", 300, PLAIN)
    return lead_time_of(member, ShardRows(states={1: [seen]}, starts={1: starts}), NOW)


@pytest.mark.parametrize(("warm", "share"), [(8, 0.25), (0, 0.75), (6, 0.375)])
def test_where_images_are_and_the_last_starts_tell_how_long_the_next_takes(
    warm: int, share: float
) -> None:
    found = lead_s(state(warm), [*WARM, *COLD, *WARM[:10], *COLD[:10]])
    assert np.mean(found > 80.0) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("warm", "last", "share"), [(8, WARM, 0.0), (0, COLD, 1.0)])
def test_where_both_tell_the_same_it_is_certain(warm: int, last: Any, share: float) -> None:
    found = lead_s(state(warm), [*WARM, *COLD, *last])
    assert np.mean(found > 80.0) == share


@pytest.mark.parametrize("seen", [state(None), {**state(None, 0)}])
def test_where_nobody_knows_of_images_the_shares_of_the_starts_hold(seen: Any) -> None:
    found = lead_s(seen, [*WARM, *COLD, *COLD])
    assert np.mean(found > 80.0) == pytest.approx(2 / 3, abs=0.05)


def test_as_many_are_restored_as_of_the_last_starts_were() -> None:
    found = lead_s(state(8), [*COLD, *WARM, *RESTORED[:10], *WARM[:10]])
    assert np.mean(found < 10.0) == pytest.approx(0.5, abs=0.03)
    assert np.mean(found > 80.0) == 0.0


def test_starts_that_tell_nothing_are_parted_all_the_same() -> None:
    untold = [{**each, "cause": None} for each in [*COLD, *RESTORED]]
    found = lead_s(state(None), untold)
    assert np.mean((found > 12.0) & (found < 120.0)) < 0.05
    assert np.mean(found < 12.0) == pytest.approx(0.5, abs=0.05)


def test_starts_that_differ_in_nothing_are_one_law_whatever_they_tell() -> None:
    same = many(60.0, "warm", 40)
    untold = [{**each, "cause": None} for each in same]
    np.testing.assert_array_equal(lead_s(state(8), same), lead_s(state(8), untold))


def test_of_gpus_on_nodes_to_come_none_is_warm() -> None:
    assert RoomOfTarget(16, 8, 0, 1, warm_gpus=4).warm_ratio == 0.5
    assert RoomOfTarget(8, 8, 0, 1, warm_gpus=0).warm_ratio is None
    assert RoomOfTarget(None, None, 0, 1, warm_gpus=4).warm_ratio is None
    rooms = {"H100": [RoomOfTarget(8, None, 0, 1, 8), RoomOfTarget(8, None, 0, 1, 2)], "L4": []}
    assert lead_times.warm_of(rooms) == {"H100": 0.25}


def test_what_was_fitted_of_a_cause_is_its_law_before_starts_are_seen() -> None:
    fitted = {
        "workload:1#warm": np.full(256, 30.0),
        "gpu_type:H100#warm": np.full(256, 900.0),
        "gpu_type:H100#cold": np.full(256, 300.0),
    }
    known = Known(fitted, (), NOW, warm={"H100": 0.5})
    found = lead_times.of_workload(1, spec_of(), known)
    assert np.quantile(found, (0.25, 0.75)) == pytest.approx([30.0, 300.0], rel=0.05)


def test_a_fit_takes_the_starts_of_each_cause_for_themselves_too() -> None:
    from services.decision.beliefs.fit_lead_time import collect_starts

    found = collect_starts([*WARM, *COLD], NOW)
    assert found is not None
    assert found.scopes == (("workload:1",), ("workload:1#cold",), ("workload:1#warm",))
    assert found.gpu_types == ("H100", "H100#cold", "H100#warm")
    untold = collect_starts([{**each, "cause": None} for each in [*WARM, *COLD]], NOW)
    assert untold is not None
    assert {scope for scopes in untold.scopes for scope in scopes} == {
        "workload:1", "workload:1#short", "workload:1#long",
    }  # fmt: skip
    alike = collect_starts(many(60.0, None, 40), NOW)
    assert alike is not None
    assert alike.scopes == (("workload:1",),)
