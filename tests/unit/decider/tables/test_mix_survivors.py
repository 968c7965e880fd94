"""What interruptions leave of a mix: laws, and the sum over all nodes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import ReplicaState, SpotReplicas, SpotShare, VariantSet, VariantState
from decider.tables.mix_survivors import MixSurvival
from decider.tables.survivors import SurvivalLaw

LEAD_S = np.full(8, 300.0)


def share(replicas: int, nodes: int, rate: float, of: int | None = None) -> SpotShare:
    """A rate that is known for certain, as far as a gamma law can tell it."""
    places = SpotReplicas(replicas, nodes, 1e9 * rate, 1e9)
    return SpotShare(places, replicas if of is None else of)


def variants(*spots: SpotShare | None, ratios: tuple[float, ...] = ()) -> VariantSet:
    given_ = ratios or (1.0,) * len(spots)
    pairs = enumerate(zip(spots, given_, strict=True))
    return VariantSet(
        tuple(VariantState(f"v{i}", f"T{i}", 1, ratio, 1.0, spot=one) for i, (one, ratio) in pairs)
    )


def law(*spots: SpotShare | None, ratios: tuple[float, ...] = (), lead_s: float = 300.0):
    found = MixSurvival.of(variants(*spots, ratios=ratios), np.full(8, lead_s))
    assert found is not None
    return found


def edge(need: int):
    """Out of SLA below a need."""
    return lambda units: (units < need).astype(float)


def told(one: MixSurvival, need: int, *mix: int) -> float:
    return float(one.expected(edge(need), np.array([mix]))[0])


shares = st.builds(
    lambda of, part, nodes, rate: share(
        max(1, round(part * of)), min(nodes, max(1, round(part * of))), rate, of
    ),
    st.integers(1, 20),
    st.floats(0, 1),
    st.integers(1, 6),
    st.floats(1e-3, 2.0),
)


def test_none_is_lost_where_none_is_on_spot_or_nothing_is_interrupted() -> None:
    assert MixSurvival.of(variants(None, None), LEAD_S) is None
    assert MixSurvival.of(variants(None, share(4, 2, 0.0)), LEAD_S) is None


@given(one=shares, count=st.integers(0, 24), need=st.integers(1, 24))
@settings(max_examples=60, deadline=None)
def test_one_variant_alone_is_what_it_is_without_variants(
    one: SpotShare, count: int, need: int
) -> None:
    alone = SurvivalLaw.of(ReplicaState(one.of, one.of, spot=one.places), LEAD_S)
    assert alone is not None
    expected = alone.expected(edge(need), count)
    assert told(law(None, one), need, 0, count) == pytest.approx(expected, abs=1e-9)


def test_hundreds_of_nodes_are_not_told_apart_beyond_what_can_happen() -> None:
    one = share(400, 100, 0.3)
    alone = SurvivalLaw.of(ReplicaState(400, 400, spot=one.places), LEAD_S)
    assert alone is not None
    for need in (380, 392, 399):
        expected = alone.expected(edge(need), 400)
        assert told(law(one), need, 400) == pytest.approx(expected, abs=1e-7)


def test_two_variants_lose_their_nodes_each_for_itself() -> None:
    """By adding up what each set of nodes leaves; a replica of the second is worth two."""
    one, other = share(6, 2, 1.0), share(4, 2, 2.0)
    both = law(one, None, other, ratios=(1.0, 1.0, 2.0), lead_s=900.0)
    gone = [float(part.gone.mean()) for part in both.parts]
    for need in (8, 11, 15):
        expected = 0.0
        for stays in product((True, False), repeat=4):
            chances = [
                g if not s else 1 - g for s, g in zip(stays, np.repeat(gone, 2), strict=True)
            ]
            sizes = (3.0, 3.0, 4.0, 4.0)
            left = 2.0 + sum(size for size, each in zip(sizes, stays, strict=True) if each)
            expected += float(np.prod(chances)) * (left < need)
        assert told(both, need, 6, 2, 4) == pytest.approx(expected, rel=1e-3)


def test_three_variants_are_put_together_a_chunk_at_a_time() -> None:
    one = law(share(4, 4, 1.0), share(4, 4, 1.0), share(4, 4, 1.0))
    single = law(share(12, 12, 1.0))
    mixes = np.repeat([[4, 4, 4]], 300, axis=0)
    found = one.expected(edge(11), mixes)
    assert np.ptp(found) == 0.0
    assert found[0] == pytest.approx(told(single, 11, 12), rel=1e-6)


def test_sure_replicas_are_never_lost() -> None:
    assert told(law(None, share(4, 1, 1.0)), 8, 8, 4) == 0.0


@given(one=shares, other=shares, mix=st.tuples(*[st.integers(0, 9)] * 3), need=st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_more_replicas_are_never_riskier_and_sure_ones_the_least(
    one: SpotShare, other: SpotShare, mix: tuple[int, ...], need: int
) -> None:
    both = law(None, one, other)
    risk = told(both, need, *mix)
    assert float(sum(mix) < need) - 1e-9 <= risk <= 1.0 + 1e-9
    for at in range(3):
        more = [n + (at == i) for i, n in enumerate(mix)]
        assert told(both, need, *more) <= risk + 1e-8
    sure = (mix[0] + mix[1], 0, mix[2])
    assert told(both, need, *sure) <= risk + 1e-8


@given(
    one=shares, factor=st.floats(1.0, 30.0), mix=st.tuples(*[st.integers(0, 12)] * 2),
    need=st.integers(1, 20),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_more_interruptions_are_never_less_risky(
    one: SpotShare, factor: float, mix: tuple[int, int], need: int
) -> None:
    places = one.places
    worse = SpotReplicas(
        places.replicas, places.nodes, factor * places.interruptions, places.node_hours
    )
    few, many = law(None, one), law(None, SpotShare(worse, one.of))
    assert told(few, need, *mix) <= told(many, need, *mix) + 1e-8


def test_what_is_told_is_what_happens() -> None:
    """Nodes that go and come back, a million moments; a rate that is known in part only."""
    rng = np.random.default_rng(5)
    unsure = SpotShare(SpotReplicas(8, 2, 3.0, 12.0), 8)
    both = law(None, unsure, share(6, 3, 0.5), lead_s=1200.0)
    n = 1_000_000
    draw = rng.integers(0, both.parts[0].gone.size, n)
    lost = np.zeros(n)
    # 10 on nodes of four: two full ones and one of two; 5 on nodes of two
    for part, sizes in zip(both.parts, ((4, 4, 2), (2, 2, 1)), strict=True):
        for size in sizes:
            lost += size * (rng.random(n) < part.gone[draw])
    for need in (15, 18):
        happened = float((18 - lost < need).mean())
        assert told(both, need, 3, 10, 5) == pytest.approx(happened, abs=4e-3 * happened + 3e-4)
