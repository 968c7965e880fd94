"""A start that needs a new node waits for it; one that needs none does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from decider.belief.lead_time import residual_draws
from services.decision.rows.inputs import ShardRows, lead_time_of
from services.decision.rows.lead_times import (
    RoomOfTarget,
    may_have_new_nodes,
    node_startup,
)
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec
from tests.unit.decision.rows.test_lead_times import NOW, spec_of, variant

SUPPLY: Any = {"H100": {"startup_median_s": 240.0, "startup_sigma": 0.3, "n_startups": 40}}
PLAIN = spec_of().model_copy(update={"variants": ()})


def state(schedulable: int, new: int | None, pending: int = 0) -> Any:
    return {
        "schedulable_gpus": schedulable,
        "new_node_gpus": new,
        "pending_replicas": pending,
        "variants": None,
    }


def started(node_s: float | None, ready_s: float | None, back_s: float = 3600.0) -> Any:
    """A start that was given a new node after `node_s`, or found one there (None)."""
    requested = NOW - timedelta(seconds=back_s)
    bound = requested + timedelta(seconds=node_s or 0.0)
    return {
        "workload_id": 1, "gpu_type": "H100", "requested_at": requested, "bound_at": bound,
        "ready_at": None if ready_s is None else requested + timedelta(seconds=ready_s),
        "gone_at": None, "is_new_node": node_s is not None,
    }  # fmt: skip


BIMODAL = [started(None, 30.0, 3600.0 + 60.0 * i) for i in range(60)]
BIMODAL += [started(240.0, 330.0, 7200.0 + 60.0 * i) for i in range(60)]


def lead_s(seen: Any, starts: Any = (), supply: Any = SUPPLY, spec: WorkloadSpec = PLAIN) -> Any:
    member = ShardMember(1, "demo", "mixed", 300, spec)
    rows = ShardRows(states={1: [seen]}, starts={1: list(starts)}, supply=supply)
    return lead_time_of(member, rows, NOW)


def test_where_a_gpu_is_free_no_node_is_waited_for() -> None:
    found = lead_s(state(9, 8), BIMODAL)
    assert np.median(found) == pytest.approx(30.0, rel=0.8)
    assert np.quantile(found, 0.9) < 330.0


def test_where_none_is_free_the_node_comes_first() -> None:
    found = lead_s(state(8, 8), BIMODAL)
    # 240 s for the node as the type's nodes take, 90 s from there as its starts on them did
    assert np.median(found) == pytest.approx(330.0, rel=0.15)
    assert found.min() > 120.0
    assert (np.diff(found) >= 0).all()


def test_before_anything_was_seen_what_is_stated_adds_up() -> None:
    assert np.median(lead_s(state(8, 8))) == pytest.approx(180.0 + 240.0, rel=0.1)
    assert np.median(lead_s(state(9, 8))) == pytest.approx(180.0, rel=0.05)


def test_free_gpus_go_to_the_replicas_that_wait_first() -> None:
    assert np.median(lead_s(state(10, 8, pending=2))) > 300.0
    assert np.median(lead_s(state(11, 8, pending=2))) < 200.0


UNDER_WAY = started(240.0, None, back_s=260.0)


def test_a_start_on_a_new_node_that_is_under_way_keeps_no_other_from_what_is_free() -> None:
    alone, beside = (lead_s(state(48, 8), [*BIMODAL, *more]) for more in ([], [UNDER_WAY]))
    assert np.median(beside) == pytest.approx(np.median(alone), rel=0.25)
    # where none is free it needs a node, as before
    assert np.median(lead_s(state(8, 8), [*BIMODAL, UNDER_WAY])) > 300.0


def test_what_such_a_start_may_yet_take_is_read_off_its_own_law() -> None:
    quick = PLAIN.model_copy(
        update={"lead_time": PLAIN.lead_time.model_copy(update={"median_s": 30.0, "sigma": 0.1})}
    )
    found = lead_s(state(48, 8), [*BIMODAL, UNDER_WAY], spec=quick)
    # by the law of free GPUs alone it would be stuck: it has waited for 260 s
    left_s = residual_draws(found, np.array([260.0]))
    assert np.median(left_s) < 150.0


def test_where_the_supply_is_fixed_nothing_changes() -> None:
    alone = lead_s(state(0, None), supply={})
    assert np.median(alone) == pytest.approx(180.0, rel=0.05)
    assert np.array_equal(lead_s(state(0, None)), alone)


def test_variants_wait_for_nodes_of_their_own_type() -> None:
    spec = spec_of(variant("h100", "H100"), variant("l4", "L4"))
    own = {"pending": 0, "schedulable_gpus": 8}
    seen = {"variants": {"h100": own | {"new_node_gpus": 8}, "l4": own}}
    assert np.median(lead_s(seen, spec=spec)) > 300.0
    free = {"variants": {"h100": own | {"new_node_gpus": 0}, "l4": own}}
    assert np.median(lead_s(free, spec=spec)) < 200.0


def test_new_nodes_are_looked_for_where_a_snapshot_tells_of_some() -> None:
    assert may_have_new_nodes(state(8, 0))
    assert not may_have_new_nodes(state(8, None))
    parts: Any = {"new_node_gpus": None, "variants": {"a": {"new_node_gpus": 0}}}
    assert may_have_new_nodes(parts)
    assert RoomOfTarget(None, 8, 0, 1).free_chance(()) == 1.0


def test_a_law_that_was_learned_counts_for_its_starts() -> None:
    belief = node_startup(SUPPLY["H100"])
    assert belief.n_mean == 44.0
    assert belief.median_s == pytest.approx(240.0)


def batches(*sizes: int) -> list[Any]:
    """Starts of decisions an hour apart, so many of each."""
    hours = range(len(sizes), 0, -1)
    return [
        started(None, 30.0, 3600.0 * hour + 2.0 * i)
        for hour, size in zip(hours, sizes, strict=True)
        for i in range(size)
    ]


def test_of_the_starts_of_a_decision_the_first_find_what_is_free() -> None:
    room = RoomOfTarget(11, 8, 0, 1)  # three are free
    assert room.free_chance(batches(1, 2, 3)) == 1.0
    assert room.free_chance(batches(4, 4)) == 0.75
    assert room.free_chance(batches(6)) == 0.5
    assert replace(room, n_pending=1).free_chance(batches(4, 4)) == 0.5
    assert replace(room, n_pending=3).free_chance(batches(1)) == 0.0
    assert room.free_chance(()) == 1.0


def waited(bound_s: float | None, ready_s: float | None, **row: Any) -> Any:
    """A start where nodes are added for pods, asked for 9000 s ago; None: not yet."""
    start = started(None, ready_s, 9000.0)
    bound = None if bound_s is None else start["requested_at"] + timedelta(seconds=bound_s)
    is_new = None if bound_s is None else False
    return start | {"is_provisioned": True, "bound_at": bound, "is_new_node": is_new} | row


FREE = state(48, 8)


def test_a_pod_that_waits_for_a_node_in_vain_tells_nothing_of_a_free_gpu() -> None:
    alone = lead_s(FREE)
    went = waited(None, None, gone_at=NOW - timedelta(seconds=60))
    assert np.array_equal(lead_s(FREE, [waited(None, None)] * 8 + [went] * 8), alone)
    # it does where nobody adds nodes: there it waits for nothing that is told otherwise
    fixed = [waited(None, None, is_provisioned=False)] * 8
    assert np.median(lead_s(state(48, None), fixed, supply={})) > 1.5 * np.median(alone)


def test_a_pod_that_waited_begins_to_start_with_its_place_on_a_node() -> None:
    at_once = [waited(0.0, 30.0)] * 8
    at_last = [waited(8900.0, 8930.0)] * 8
    assert np.array_equal(lead_s(FREE, at_last), lead_s(FREE, at_once))
    under_way = [waited(8900.0, None)] * 8
    told = lead_s(FREE, under_way)
    assert np.median(told) < 300.0
    assert np.quantile(told, 0.1) > np.quantile(lead_s(FREE, at_once), 0.1)
    nobody_saw = [waited(None, 30.0)] * 8
    assert np.array_equal(lead_s(FREE, nobody_saw), lead_s(FREE, at_once))


def test_some_land_at_once_and_some_wait_for_the_node() -> None:
    found = lead_s(state(11, 8), batches(6, 6, 6))
    here, there = lead_s(state(16, 8), batches(6, 6, 6)), lead_s(state(8, 8), batches(6, 6, 6))
    assert np.quantile(found, 0.1) < there.min() < np.quantile(found, 0.9)
    assert np.median(here) < np.median(found) < np.median(there)
    assert (np.diff(found) >= 0).all()
