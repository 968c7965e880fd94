"""Variants of one type share its free GPUs, and what does not start carries nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    Limits,
    ReplicaState,
    SpotReplicas,
    SpotShare,
    VariantSet,
    VariantState,
    decide_shard,
    whole,
)
from decider.mix.candidates import MixRequest, bounds_of
from decider.mix.options import make_options
from decider.mix.rooms import SharedRoom, shared_rooms
from tests.unit.decider.mix.decided import CONFIG, counts, decide, one
from tests.unit.decider.mix.test_options import asked, best
from tests.unit.decider.shards import NOW_S, noisy, shard
from tests.unit.decider.variant_sets import h100, l4, mixed, random_request

seeds = st.integers(0, 100_000)


def of_one_gpu(spec: int = 4, free: int | None = 8, **changes: object) -> VariantState:
    return VariantState("tp1", "H100", 1, 1.0, 2.5, spec=spec, schedulable_gpus=free, **changes)  # type: ignore[arg-type]


def of_two_gpus(spec: int = 0, free: int | None = 8, **changes: object) -> VariantState:
    return VariantState("tp2", "H100", 2, 2.0, 2.6, spec=spec, schedulable_gpus=free, **changes)  # type: ignore[arg-type]


def test_two_variants_of_one_type_ask_for_its_free_gpus_once() -> None:
    w = mixed("m", of_one_gpu(), of_two_gpus())
    decision = one(w, 160.0)
    found = counts(decision)
    assert found["tp1"] - 4 + 2 * found["tp2"] == 8
    assert (decision.final, decision.binding_constraint) == (12, "schedulable")


def test_before_the_revision_each_was_promised_all_of_them() -> None:
    w = mixed("m", of_one_gpu(), of_two_gpus())
    request = shard(noisy(160.0), [w])
    found = counts(decide_shard(request, replace(CONFIG, revision=3), NOW_S)[0])
    assert found["tp1"] - 4 + 2 * found["tp2"] == 16


def test_rooms_are_of_types_and_of_nodes() -> None:
    spot = SpotShare(SpotReplicas(2, 1, 1.0, 20.0), 2)
    both = of_one_gpu(), of_two_gpus(free=6)
    assert shared_rooms(both) == (SharedRoom((0, 1), 8),)
    assert shared_rooms((of_one_gpu(pending=3, stuck=1), both[1])) == (SharedRoom((0, 1), 6),)
    assert shared_rooms((both[0], replace(both[1], spot=spot))) == (), "they are on other nodes"
    assert shared_rooms((both[0], of_two_gpus(free=None))) == (), "how many are free is unknown"
    assert shared_rooms((both[0], l4())) == ()


def shared_request(seed: int) -> MixRequest:
    """Two variants of one type, and one of another, with few free GPUs."""
    given_ = random_request(seed, n_variants=3)
    rng = np.random.default_rng(seed)
    free = [int(n) for n in rng.integers(0, 9, 2)]
    first, second, third = given_.variants.states
    states = (
        replace(first, schedulable_gpus=max(free)),
        replace(second, gpu_type=first.gpu_type, schedulable_gpus=min(free)),
        third,
    )
    return replace(given_, variants=VariantSet(states))


@given(seed=seeds)
@settings(max_examples=80, deadline=None)
def test_the_cheapest_mix_that_finds_room_is_taken(seed: int) -> None:
    """Against all mixes within the bounds and what is free."""
    request = shared_request(seed)
    bounds, states = bounds_of(request), request.variants.states
    (room,) = shared_rooms(states)
    least = tuple(b.least for b in bounds)

    def taken(mix: tuple[int, ...]) -> int:
        return sum(
            states[at].gpus_per_replica * max(0, mix[at] - states[at].spec) for at in room.at
        )

    most = max(room.gpus, taken(least))
    mixes = [
        m for m in itertools.product(*(range(b.least, b.most + 1) for b in bounds))
        if taken(m) <= most and whole(request.variants.units(m)) <= request.high
    ]  # fmt: skip
    if not mixes:
        return  # the variants' own least counts are beyond the total: they come first
    served = {m: min(whole(request.variants.units(m)), request.wanted) for m in mixes}
    found = best(request)
    assert taken(found) <= most
    assert min(whole(request.variants.units(found)), request.wanted) == max(served.values())
    cheapest = min(
        request.variants.usd_per_hour(m) for m in mixes if served[m] == max(served.values())
    )
    assert request.variants.usd_per_hour(found) == pytest.approx(cheapest)


def test_what_does_not_start_is_let_go_and_another_type_serves() -> None:
    """Ten H100 for which there is no GPU any more; L4 are dearer for what they carry."""
    gone = h100(10, pending=10, stuck=10, schedulable_gpus=0)
    w = mixed("m", gone, l4(price=2.5), replicas=ReplicaState(0, 0), limits=Limits(1, 60))
    found = one(w)
    assert counts(found) == {"h100": 0, "l4": 2 * found.final}
    assert found.final >= 10
    assert found.risk_after is not None
    assert found.risk_after < 0.05
    assert found.mix is not None
    assert "10 of 10 h100 do not start and carry nothing" in found.mix.detail


def test_where_nothing_tells_of_free_gpus_one_start_goes_on_waiting() -> None:
    """Without it the type would be asked for anew as soon as nothing of it waits."""
    for free in (None, 8):
        gone = h100(10, pending=10, stuck=10, schedulable_gpus=free)
        assert best(asked(4, gone, l4(price=2.5))) == (1, 8)
        waiting = h100(1, pending=1, stuck=1, schedulable_gpus=free)
        assert best(asked(4, waiting, l4(8, price=2.5))) == (1, 8)
    back = h100(1, schedulable_gpus=8)
    assert best(asked(4, back, l4(8, price=2.5))) == (4, 0)


def test_what_may_not_fall_stays_and_carries_nothing() -> None:
    gone = h100(10, pending=10, stuck=10, schedulable_gpus=0)
    request = asked(4, gone, l4(price=2.5), may_fall=False)
    assert best(request) == (10, 8)
    assert best(replace(request, is_fixed=True)) == (10, 0)
    held = asked(4, replace(gone, held="its target is missing"), l4(price=2.5))
    assert best(held) == (10, 8)
    minimum = asked(4, replace(gone, least=3), l4(price=2.5))
    assert best(minimum) == (3, 8)


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_of_stuck_replicas_none_is_counted_and_none_is_added(seed: int) -> None:
    request = random_request(seed, is_free=False)
    rng = np.random.default_rng(seed)
    states = tuple(
        replace(v, stuck=int(rng.integers(0, v.spec + 1))) for v in request.variants.states
    )
    request = replace(request, variants=VariantSet(states))
    options = make_options(request)
    for mix, units in zip(options.counts.tolist(), options.units.tolist(), strict=True):
        carrying = [
            min(n, v.spec - v.stuck) if v.stuck else n for n, v in zip(mix, states, strict=True)
        ]
        assert units == pytest.approx(
            sum(n * v.capacity_ratio for n, v in zip(carrying, states, strict=True))
        )
        for n, v in zip(mix, states, strict=True):
            assert not v.stuck or n <= max(v.spec, v.least)


def test_a_whole_shard_with_stuck_starts_is_decided_together() -> None:
    gone = h100(10, pending=10, stuck=10, schedulable_gpus=0)
    w = mixed("m", gone, l4(price=2.5), replicas=ReplicaState(0, 0))
    (found,) = decide(shard(noisy(80.0), [w], budgets={"H100": 10, "L4": 30}))
    assert counts(found)["h100"] == 0
    assert counts(found)["l4"] >= 20
