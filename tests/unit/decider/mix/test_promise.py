"""Mixes that keep a promise on spot nodes: exact against all mixes, and what they are worth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from decider import SpotReplicas, SpotShare
from decider.mix.candidates import MixRequest
from decider.mix.options import make_options
from decider.mix.promise import MixPromise, MixSearch
from decider.planning.interruptions import SMALL
from decider.tables.mix_survivors import MixSurvival
from decider.types import FloatArray, IntArray
from decider.variant_types import VariantSet, VariantState
from tests.unit.decider.variant_sets import random_request

LEAD_S = np.full(8, 900.0)


def own_risk(units: IntArray) -> FloatArray:
    """A demand of about eight reference replicas."""
    return np.asarray(1.0 / (1.0 + np.exp(1.5 * (units - 8.0))))


def promise(variants: VariantSet, allowed: float) -> MixPromise:
    law = MixSurvival.of(variants, LEAD_S)
    assert law is not None
    return MixPromise(law, own_risk, allowed)


def on_spot(state: VariantState, rng: np.random.Generator) -> VariantState:
    nodes = int(rng.integers(1, 4))
    places = SpotReplicas(6, nodes, float(rng.uniform(0.1, 2.0)) * 20.0, 20.0)
    return replace(state, spot=SpotShare(places, int(rng.integers(6, 9))))


def spot_request(seed: int, n_variants: int) -> MixRequest:
    """A random request of which some variants, the last one for certain, are on spot nodes."""
    rng = np.random.default_rng(1000 + seed)
    given = random_request(seed, n_variants=n_variants)
    *others, last = given.variants.states
    states = [one if rng.random() < 0.6 else on_spot(one, rng) for one in others]
    # of variants that are worth the same every mix is the least one of its capacity
    states = [replace(one, capacity_ratio=1.0, most=14) for one in (*states, on_spot(last, rng))]
    variants = VariantSet(tuple(states))
    wanted = int(rng.integers(6, 11))
    allowed = float(max(own_risk(np.array([wanted]))[0], rng.choice([0.01, 0.03, 0.1])))
    return MixRequest(variants, wanted, wanted, 16, np.zeros(1), promise=promise(variants, allowed))


def every_mix(request: MixRequest) -> np.ndarray:
    ranges = [range(v.least, v.most + 1) for v in request.variants.states]
    mixes = np.array(list(product(*ranges)), dtype=np.int64)
    least = np.array([v.least for v in request.variants.states])
    is_first = (mixes == least).all(axis=1)
    return mixes[(mixes.sum(axis=1) <= request.high) | is_first]


@pytest.mark.parametrize("n_variants", [1, 2, 3])
def test_no_mix_that_keeps_the_promise_is_cheaper(n_variants: int) -> None:
    n_kept = 0
    for seed in range(25):
        request = spot_request(seed, n_variants)
        assert request.promise is not None
        mixes = every_mix(request)
        kept = request.promise.is_kept(mixes) & (mixes.sum(axis=1) >= request.wanted)
        options = make_options(request)
        best = options.best()
        usd = np.array([v.usd_per_hour for v in request.variants.states])
        if kept.any():
            n_kept += 1
            assert request.promise.is_kept(options.counts[[best]]).all()
            assert options.usd_per_hour[best] <= (mixes[kept] @ usd).min() + 1e-9
        else:
            sure = np.minimum(request.promise.sure(mixes), request.wanted)
            found = request.promise.sure(options.counts[[best]])[0]
            assert found >= np.floor(sure.max() + 1e-9)
    assert n_kept > 10


def test_a_mix_that_breaks_the_promise_is_worth_what_is_as_risky_without_loss() -> None:
    states = VariantSet(
        (
            VariantState("a", "A", 1, 1.0, 4.0),
            VariantState("b", "B", 1, 1.0, 1.0, spot=SpotShare(SpotReplicas(4, 1, 40.0, 20.0), 4)),
        )
    )
    one = promise(states, 0.02)
    mixes = np.array([[12, 0], [12, 4], [0, 12], [4, 4], [0, 0]])
    sure, risk = one.sure(mixes), one.risk(mixes)
    kept = one.is_kept(mixes)
    assert kept.tolist() == [True, True, False, False, False]
    assert sure[kept].tolist() == [12.0, 16.0]
    for worth, own in zip(sure[~kept], risk[~kept], strict=True):
        assert own_risk(np.array([worth + 1]))[0] < own + 1e-12
        assert own_risk(np.array([worth]))[0] >= own - 1e-9


def test_hundreds_of_replicas_are_searched_in_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    states = VariantSet(
        (
            VariantState("a", "A", 1, 1.0, 4.0, most=2000),
            VariantState(
                "b", "B", 1, 1.0, 1.0, most=2000,
                spot=SpotShare(SpotReplicas(8, 2, 4.0, 20.0), 8),
            ),
        )
    )  # fmt: skip
    law = MixSurvival.of(states, LEAD_S)
    assert law is not None
    looked: list[int] = []
    told = MixSurvival.expected

    def expected(self, risk_of, counts):
        looked.append(counts.shape[0])
        return told(self, risk_of, counts)

    monkeypatch.setattr(MixSurvival, "expected", expected)
    of_many = MixPromise(law, lambda units: (units < 600).astype(float), 0.01)
    search = MixSearch(of_many, (0, 0), (2000, 2000), 600, 2000)
    mixes = np.array(list(search.mixes(iter([[0, 0]]))))
    assert of_many.is_kept(mixes).all()
    assert [600, 0] in mixes.tolist()
    assert sum(looked) < 3000


TWO = VariantSet(
    (
        VariantState("a", "A", 1, 1.0, 4.0),
        VariantState("b", "B", 1, 1.0, 1.0, spot=SpotShare(SpotReplicas(8, 8, 8.0, 20.0), 8)),
    )
)
MIXES = np.array(list(product(range(16), range(25))), dtype=np.int64)


@pytest.mark.parametrize("running", [(0, 0), (4, 12), (12, 0), (0, 20)])
def test_what_runs_is_let_go_only_where_the_mix_without_it_bears_twice_as_much(
    running: tuple[int, int],
) -> None:
    """Of mixes that let nothing go all is as it was; of others, those that would not be back."""
    plain = promise(TWO, 0.02)
    held = replace(plain, running=running)
    kept, before = held.is_kept(MIXES), plain.is_kept(MIXES)
    lets_go = (np.array(running) > MIXES).any(axis=1)
    assert (kept[~lets_go] == before[~lets_go]).all()
    own = own_risk(MIXES.sum(axis=1))
    twice = own + 2.0 * (plain.risk(MIXES) - own) <= plain.allowed + 1e-9
    assert (kept[lets_go] == twice[lets_go]).all()
    if any(running):
        assert (before & ~kept).any()
    assert (held.sure(MIXES)[kept] == MIXES.sum(axis=1)[kept]).all()
    wanted = int((own_risk(np.arange(30)) > plain.allowed).sum())
    assert (held.sure(MIXES)[before & ~kept] < wanted).all(), "it is not enough"


def test_what_interruptions_add_is_looked_at_where_it_is_more_than_little() -> None:
    """A mix near the level asked for one replica more, and gave it back with the next forecast."""
    rare = replace(TWO.states[1], spot=SpotShare(SpotReplicas(12, 12, 0.4, 20.0), 12))
    strict = promise(VariantSet((TWO.states[0], rare)), float(own_risk(np.array([12]))[0]) * 1.02)
    held = replace(strict, level=strict.allowed)
    asked = np.array([(0, 12)])
    assert strict.risk(asked)[0] > strict.allowed
    assert not strict.is_kept(asked).any()
    assert held.is_kept(asked).all()
    own = own_risk(MIXES.sum(axis=1))
    added = held.risk(MIXES) - own
    more = held.is_kept(MIXES) & ~strict.is_kept(MIXES)
    assert more.any()
    assert (own[more] <= held.allowed + 1e-9).all()
    assert (added[more] <= SMALL * held.level).all()
