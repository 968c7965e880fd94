"""Laws of the headroom that is held for what services may need together while a node starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    FloatArray,
    HeadroomRoom,
    JointNeed,
    MissDraws,
    NodeWait,
    ServiceNeed,
    Sla,
    equivalent_capacity,
    joint_need,
    peak_replicas,
    size_headroom,
    soft_of,
)
from decider.budget.headroom import PEAK_LEVELS, USES, cheapest_gpus
from decider.errors import InvalidRequest

RISKS = st.floats(0.001, 0.5)
NEEDS = st.lists(st.integers(0, 60), min_size=1, max_size=300).map(lambda values: of_gpus(values))
ROOMS = st.builds(
    HeadroomRoom, st.integers(0, 40), st.integers(0, 80), st.integers(1, 8), st.floats(0, 20)
)
PRICED = st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1e4)), min_size=1, max_size=60).map(
    lambda pairs: JointNeed(*map(np.array, zip(*pairs, strict=True)), is_priced=True)
)
STARTUP_S = np.linspace(60.0, 600.0, 64)
CAPACITY = np.full(64, 10.0)


def of_gpus(gpus: Sequence[int]) -> JointNeed:
    """A need of services of which nobody knows what they pay for risk."""
    return JointNeed(np.array(gpus, dtype=np.int64), np.zeros(len(gpus)), is_priced=False)


def paths(spread: float, rise: float = 0.0, seed: int = 3) -> FloatArray:
    """(200, 12) paths around 100 that fan out by `spread` and rise by `rise` a step."""
    noise = np.random.default_rng(seed).standard_normal((200, 12)).cumsum(axis=1)
    return np.maximum(100.0 + rise * np.arange(12) + spread * noise, 0.0)


def service(spread: float, held: int = 10, most: int = 1000, gpus: int = 1) -> ServiceNeed:
    return ServiceNeed(peak_replicas(paths(spread), CAPACITY), 60.0, held, most, gpus)


def needed(
    services: list[ServiceNeed], dependence: float = 0.5, startup_s: FloatArray = STARTUP_S
) -> JointNeed:
    wait = NodeWait(startup_s, dependence)
    return joint_need(services, wait, np.random.default_rng(11))


@given(NEEDS, ROOMS, RISKS)
def test_the_need_exceeds_the_headroom_with_at_most_the_risk(
    need: JointNeed, room: HeadroomRoom, risk: float
) -> None:
    found = size_headroom(need, room, risk)
    assert (need.gpus > found.need_gpus).mean() <= risk + 1e-9
    if not found.is_capped:
        assert found.risk_after <= risk + 1e-9
        assert found.gpus < found.need_gpus + room.chunk_gpus
    assert (
        found.need_gpus == 0 or (need.gpus >= found.need_gpus).mean() > risk - 1e-9
    )  # it is the least


@given(NEEDS, ROOMS, RISKS)
def test_it_is_whole_chunks_below_the_ceiling_at_its_price(
    need: JointNeed, room: HeadroomRoom, risk: float
) -> None:
    found = size_headroom(need, room, risk)
    assert found.gpus == found.n_chunks * room.chunk_gpus <= room.most_gpus
    assert found.usd_per_hour == pytest.approx(found.gpus * room.usd_per_gpu_hour)
    assert 0.0 <= found.risk_averted <= found.risk_before <= 1.0


@given(NEEDS, ROOMS, RISKS, RISKS)
def test_less_risk_never_takes_less(
    need: JointNeed, room: HeadroomRoom, one: float, other: float
) -> None:
    careful, careless = (size_headroom(need, room, risk) for risk in sorted((one, other)))
    assert careful.gpus >= careless.gpus
    assert careful.risk_averted >= careless.risk_averted


@given(NEEDS, ROOMS, RISKS)
def test_a_fixed_supply_has_none(need: JointNeed, room: HeadroomRoom, risk: float) -> None:
    found = size_headroom(need, replace(room, most_gpus=0), risk)
    assert (found.gpus, found.usd_per_hour, found.risk_averted) == (0, 0.0, 0.0)


@given(ROOMS, RISKS)
def test_none_is_needed_where_nothing_is_uncertain(room: HeadroomRoom, risk: float) -> None:
    need = needed([service(0.0), service(0.0)])
    assert size_headroom(need, room, risk).gpus == 0


@settings(max_examples=30)
@given(st.floats(0.0, 6.0), st.floats(0.0, 6.0), RISKS, st.floats(0.0, 0.99))
def test_more_spread_never_takes_less(
    one: float, other: float, risk: float, dependence: float
) -> None:
    room = HeadroomRoom(0, 10_000, 1, 1.0)
    certain, wide = (
        size_headroom(needed([service(spread), service(spread)], dependence), room, risk)
        for spread in sorted((one, other))
    )
    assert wide.gpus >= certain.gpus


@settings(max_examples=30)
@given(st.floats(1.0, 4.0), RISKS)
def test_a_slower_start_and_fewer_replicas_never_take_less(factor: float, risk: float) -> None:
    room, usual = HeadroomRoom(0, 10_000, 1, 1.0), service(3.0)
    base = size_headroom(needed([usual]), room, risk).gpus
    assert size_headroom(needed([usual], startup_s=factor * STARTUP_S), room, risk).gpus >= base
    assert size_headroom(needed([replace(usual, held_replicas=8)]), room, risk).gpus >= base


@settings(max_examples=30)
@given(st.integers(0, 30), st.integers(1, 8))
def test_nothing_beyond_the_most_of_each_is_needed(most: int, gpus: int) -> None:
    need = needed([service(6.0, most=most, gpus=gpus), service(6.0, most=most, gpus=gpus)])
    assert need.gpus.max() <= 2 * gpus * max(0, most - 10)
    assert (need.gpus % gpus == 0).all()


def test_services_that_move_together_need_more_at_once() -> None:
    fleet, room = [service(3.0) for _ in range(30)], HeadroomRoom(0, 10_000, 1, 1.0)
    apart, half, together = (
        size_headroom(needed(fleet, rho), room).gpus for rho in (0.0, 0.5, 0.99)
    )
    assert apart < half < together
    assert together <= 30 * (service(3.0).peaks[-1, -1] - 10)


def test_one_service_needs_what_its_paths_say() -> None:
    """A node takes ten minutes for certain: the most of the first eleven steps counts."""
    demand = paths(3.0)
    need = needed([service(3.0)], startup_s=np.full(4, 600.0))
    extra = np.maximum(np.ceil(demand[:, :11].max(axis=1) / 10.0) - 10, 0)
    for risk in (0.05, 0.1, 0.5):
        found = size_headroom(need, HeadroomRoom(0, 1000, 1, 1.0), risk).need_gpus
        assert np.quantile(extra, 1 - risk, method="inverted_cdf") == found


def test_a_rise_that_is_certain_is_needed_in_time() -> None:
    peaks = peak_replicas(paths(0.0, rise=10.0), CAPACITY)
    rising = ServiceNeed(peaks, 60.0, 10, 1000, 2)
    for minutes, gpus in ((1, 2), (5, 10), (90, 22)):
        assert set(needed([rising], startup_s=np.full(8, 60.0 * minutes)).gpus.tolist()) == {gpus}


def test_free_gpus_are_part_of_it_and_lower_what_it_averts() -> None:
    need = of_gpus([0] * 90 + [4] * 8 + [12] * 2)
    none, some, enough = (
        size_headroom(need, HeadroomRoom(free, 64, 8, 2.5), 0.05) for free in (0, 4, 16)
    )
    assert [each.gpus for each in (none, some, enough)] == [8, 8, 8]
    assert [each.risk_before for each in (none, some, enough)] == pytest.approx([0.1, 0.02, 0.0])
    assert [each.risk_after for each in (none, some, enough)] == pytest.approx([0.02, 0.02, 0.0])
    assert none.usd_per_hour == 20.0
    capped = size_headroom(need, HeadroomRoom(0, 7, 8, 2.5), 0.05)
    assert (capped.gpus, capped.need_gpus, capped.is_capped) == (0, 4, True)


def test_peaks_rise_with_steps_and_levels() -> None:
    peaks = peak_replicas(paths(5.0), CAPACITY)
    assert peaks.shape == (12, len(PEAK_LEVELS))
    assert (np.diff(peaks, axis=0) >= 0).all()
    assert (np.diff(peaks, axis=1) >= 0).all()
    assert peaks[-1, -1] == math.ceil(paths(5.0).max() / 10.0)


def test_impossible_values_are_refused() -> None:
    room, need = HeadroomRoom(0, 8, 8, 1.0), of_gpus([1])
    with pytest.raises(InvalidRequest, match=r"risk=0\.0"):
        size_headroom(need, room, 0.0)
    with pytest.raises(InvalidRequest, match="at least one scenario"):
        size_headroom(of_gpus([]), room)
    with pytest.raises(InvalidRequest, match="chunk_gpus"):
        HeadroomRoom(0, 8, 0, 1.0)
    with pytest.raises(InvalidRequest, match="usd_per_gpu_hour=inf"):
        HeadroomRoom(0, 8, 8, math.inf)
    with pytest.raises(InvalidRequest, match="startup_s"):
        NodeWait(np.array([]), 0.5)
    with pytest.raises(InvalidRequest, match=r"dependence=1\.0"):
        NodeWait(STARTUP_S, 1.0)
    with pytest.raises(InvalidRequest, match="peaks has shape"):
        ServiceNeed(np.zeros((3, 2), dtype=np.int64), 60.0, 1, 1, 1)
    with pytest.raises(InvalidRequest, match="step_s=0"):
        ServiceNeed(peak_replicas(paths(0.0), CAPACITY), 0.0, 1, 1, 1)
    with pytest.raises(InvalidRequest, match="must be finite"):
        peak_replicas(np.full((4, 2), np.nan), CAPACITY)


def cost(need: JointNeed, held: int) -> float:
    """GPU-steps of a step with `held` GPUs ready: these, and what is missing at its price."""
    missing = np.maximum(need.gpus - held, 0)
    return float(held + (need.shortage_price * missing).mean())


@given(PRICED)
def test_nothing_costs_less_than_what_is_held(need: JointNeed) -> None:
    found = cheapest_gpus(need)
    costs = [cost(need, held) for held in range(int(need.gpus.max()) + 2)]
    assert costs[found] <= min(costs) * (1.0 + 1e-9) + 1e-9


@given(PRICED, st.floats(1.0, 10.0))
def test_dearer_risk_never_takes_less(need: JointNeed, factor: float) -> None:
    dearer = replace(need, shortage_price=factor * need.shortage_price)
    assert cheapest_gpus(dearer) >= cheapest_gpus(need)


@given(PRICED, ROOMS)
def test_where_prices_are_known_it_is_what_costs_least(need: JointNeed, room: HeadroomRoom) -> None:
    found = size_headroom(need, room)
    assert found.need_gpus == cheapest_gpus(need)
    assert found.risk == pytest.approx((need.gpus > found.need_gpus).mean())
    stated = size_headroom(need, room, 0.05)
    assert (stated.risk, stated.need_gpus) == (
        0.05,
        size_headroom(of_gpus(need.gpus), room, 0.05).need_gpus,
    )


def test_none_is_held_where_it_costs_more_than_it_averts() -> None:
    """One of a hundred needs a GPU: at a price of 99 GPU-steps not worth one, at 101 it is."""
    need = JointNeed(np.array([0] * 99 + [1]), np.full(100, 99.0), is_priced=True)
    assert cheapest_gpus(need) == 0
    assert cheapest_gpus(replace(need, shortage_price=np.full(100, 101.0))) == 1


def test_services_in_need_share_their_prices_over_what_they_need() -> None:
    """Two replicas of 2 GPUs are missing for certain, at 30 replica-steps: 15 for each GPU."""
    rising = ServiceNeed(peak_replicas(paths(0.0, rise=10.0), CAPACITY), 60.0, 10, 12, 2, 30.0)
    need = needed([rising], startup_s=np.full(8, 6000.0))
    assert set(need.gpus.tolist()) == {4}
    assert set(need.shortage_price.tolist()) == {15.0}
    assert need.is_priced
    assert not needed([replace(rising, risk_price=None)]).is_priced
    with pytest.raises(InvalidRequest, match="risk_price=-1"):
        replace(rising, risk_price=-1.0)


def test_a_price_that_nobody_knows_is_not_none() -> None:
    """Ten services without a decision need what they would need alone, whoever stands beside."""
    room = HeadroomRoom(0, 1_000, 1, 2.0)
    new = [service(20.0, gpus=2) for _ in range(3)]
    alone = size_headroom(needed(new), room)
    assert alone.gpus > 0
    beside = needed([*new, replace(service(5.0), risk_price=0.0)])
    assert size_headroom(beside, room).gpus == alone.gpus
    assert size_headroom(beside, room).risk <= 0.02
    dear = needed([*new, replace(service(20.0), risk_price=1e4)])
    assert size_headroom(dear, room).gpus > alone.gpus
    assert (dear.priced_gpus + dear.unpriced_gpus == dear.gpus).all()


def test_where_all_prices_are_known_nobody_is_sized_apart() -> None:
    priced = [replace(service(20.0), risk_price=30.0) for _ in range(3)]
    need = needed(priced)
    assert need.unpriced_gpus is None
    assert (need.priced_gpus == need.gpus).all()
    assert size_headroom(need, HeadroomRoom(0, 1_000, 1, 2.0)).gpus == cheapest_gpus(need)


def of_requests(slope: float) -> tuple[ServiceNeed, MissDraws]:
    """A service of about 20 replicas that keeps a promise of 99 % of its requests with the fewest.

    Its price is what its own decision pays: one replica more is just not worth it.
    """
    response = MissDraws(*(np.full(64, one) for one in (10.0, slope, 0.0, 60.0)))
    sla = Sla(0.01, "DemandFraction", good_share=0.95)
    capacity = equivalent_capacity(response, sla)
    soft, edge = soft_of(response, sla, 1000.0), np.log(capacity[0])
    demand = 0.2 * np.exp(edge) * paths(4.0)
    missed = [1.0, *(float(soft.risk(np.log(demand[:, 4] / n)).mean()) for n in range(1, 60))]
    held = next(n for n, share in enumerate(missed) if share <= 0.01)
    price = 1.0 / (missed[held] - missed[held + 1])
    risk = soft.risk(edge + np.log(USES))
    peaks = peak_replicas(demand, capacity)
    return ServiceNeed(peaks, 60.0, held, 1000, 1, price, risk), response


@pytest.mark.parametrize("slope", [6.0, 12.0, 24.0])
def test_a_replica_that_is_missing_costs_the_requests_that_it_makes_miss(slope: float) -> None:
    """Not all requests: what decisions would not buy for the service is not held for it either."""
    need, _ = of_requests(slope)
    room, startup_s = HeadroomRoom(0, 1000, 1, 1.0), np.full(8, 240.0)
    assert size_headroom(needed([need], startup_s=startup_s), room).gpus <= 1
    as_all = replace(need, risk_at_use=None)
    assert size_headroom(needed([as_all], startup_s=startup_s), room).gpus >= 3


def test_what_is_averted_is_what_the_response_says() -> None:
    need, response = of_requests(12.0)
    edge = float(response.load_within(0.01)[0])
    for extra in (1, 4, 10):
        use = 1.0 + extra / need.held_replicas
        more = float(response.curable(np.array([edge * use])).mean()) - 0.01
        assert need.risk_averted(np.array([extra]))[0] == pytest.approx(more, rel=0.05)
    assert need.risk_averted(np.array([0]))[0] == 0.0
    nothing = replace(need, held_replicas=0)
    assert nothing.risk_averted(np.array([0, 1])).tolist() == [0.0, 1.0]


@given(st.lists(st.integers(0, 60), min_size=2, max_size=9), st.floats(2.0, 60.0))
def test_the_more_is_missing_the_more_is_averted(extra: list[int], slope: float) -> None:
    averted = of_requests(slope)[0].risk_averted(np.sort(np.array(extra)))
    assert ((averted >= 0) & (averted <= 1)).all()
    assert (np.diff(averted) >= 0).all()


def test_shares_that_no_response_has_are_refused() -> None:
    for wrong in (np.zeros(3), np.full(len(USES), 1.5), np.full(len(USES), np.nan)):
        with pytest.raises(InvalidRequest, match="risk_at_use"):
            replace(service(1.0), risk_at_use=wrong)
