"""What interruptions leave of a count: laws, and the sum over all nodes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import ReplicaState, SpotReplicas
from decider.tables.survivors import SurvivalLaw, least_within

LEAD_S = np.full(8, 300.0)


def law(
    ready: int = 8, spot: int = 8, nodes: int = 2, rate: float = 0.2, lead_s: float = 300.0
) -> SurvivalLaw:
    """A rate that is known for certain, as far as a gamma law can tell it."""
    known = SpotReplicas(spot, nodes, 1e9 * rate, 1e9)
    found = SurvivalLaw.of(ReplicaState(ready, ready, spot=known), np.full(8, lead_s))
    assert found is not None
    return found


def edge(need: int):
    """Out of SLA below a need."""
    return lambda counts: (counts < need).astype(float)


laws = st.builds(
    lambda ready, share, nodes, rate: law(
        ready, max(1, round(share * ready)), min(nodes, max(1, round(share * ready))), rate
    ),
    st.integers(1, 40),
    st.floats(0, 1),
    st.integers(1, 10),
    st.floats(1e-4, 3.0),
)


def test_none_is_lost_where_none_is_on_spot_or_nothing_is_interrupted() -> None:
    for spot in (None, SpotReplicas(0, 0, 1.0, 1.0), SpotReplicas(4, 2, 0.0, 1.0)):
        assert SurvivalLaw.of(ReplicaState(8, 8, spot=spot), LEAD_S) is None


def test_a_replica_on_each_node_is_a_binomial_law() -> None:
    one = law(ready=4, spot=4, nodes=4, rate=2.0, lead_s=600.0)
    gone = 1.0 - np.exp(-2.0 * 600.0 / 3600.0)
    assert one.expected(edge(4), 4) == pytest.approx(1.0 - (1.0 - gone) ** 4, rel=1e-4)


def test_whole_nodes_go_together() -> None:
    """Ten of them, four to a node: by adding up what each set of nodes leaves."""
    one = law(ready=10, spot=10, nodes=3, rate=1.0, lead_s=900.0)
    assert one.per_node == 4
    gone = float(one.gone.mean())
    expected = 0.0
    for stays in product((True, False), repeat=3):
        chance = np.prod([1.0 - gone if each else gone for each in stays])
        left = sum(size for size, each in zip((4, 4, 2), stays, strict=True) if each)
        expected += chance * float(left < 7)
    assert one.expected(edge(7), 10) == pytest.approx(expected, rel=1e-3)


def test_replicas_that_share_a_node_are_the_larger_risk() -> None:
    """As many are lost on average, but more at a time."""
    apart, together = law(nodes=8), law(nodes=2)
    assert apart.expected(edge(5), 8) < together.expected(edge(5), 8)


def test_on_demand_replicas_are_never_lost() -> None:
    one = law(ready=10, spot=4, nodes=1, rate=50.0)
    assert one.expected(edge(6), 10) == 0.0
    assert one.expected(edge(7), 10) > 0.9


@given(one=laws, need=st.integers(0, 60), count=st.integers(0, 60))
def test_it_is_no_less_risky_than_without_and_falls_in_the_count(
    one: SurvivalLaw, need: int, count: int
) -> None:
    here, more = (one.expected(edge(need), n) for n in (count, count + 1))
    assert here >= float(count < need) - 1e-12
    assert more <= here + 1e-12
    assert 0.0 <= here <= 1.0 + 1e-12


@given(
    rate=st.floats(1e-3, 2.0),
    factor=st.floats(1.0, 10.0),
    ready=st.integers(1, 40),
    nodes=st.integers(1, 8),
    need=st.integers(0, 40),
)
def test_more_interruptions_are_more_risk(
    rate: float, factor: float, ready: int, nodes: int, need: int
) -> None:
    few, many = (law(ready, ready, min(nodes, ready), r) for r in (rate, rate * factor))
    assert few.expected(edge(need), ready) <= many.expected(edge(need), ready) + 1e-9


def test_an_uncertain_rate_has_the_heavier_tail() -> None:
    sure = law(nodes=8, rate=0.2)
    spot = SpotReplicas(8, 8, 0.5, 2.5)
    unsure = SurvivalLaw.of(ReplicaState(8, 8, spot=spot), LEAD_S)
    assert unsure is not None
    assert unsure.expected(edge(6), 8) > 2.0 * sure.expected(edge(6), 8)


@given(low=st.integers(0, 50), span=st.integers(0, 5000), least=st.integers(0, 6000))
def test_the_least_count_is_found_without_a_look_far_beyond_it(
    low: int, span: int, least: int
) -> None:
    asked: list[int] = []

    def is_within(count: int) -> bool:
        asked.append(count)
        return count >= least

    high = low + span
    found = least_within(is_within, low, high)
    assert found == min(max(least, low), high)
    assert all(low <= count <= min(high, 2 * found + 1) for count in asked)
