"""The interval of a window's misses: off a bucket edge, it contains the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import FloatArray, RiskState, error_budget
from services.decision.decide.ledgers import SettledStep, learn
from services.decision.decide.range_ends import RangeEnds, count_ends, range_ends
from services.decision.rows import translate
from services.decision.rows.inputs import ShardRows
from services.decision.rows.measured import StepSli, measure
from services.decision.rows.members import ShardMember
from services.decision.rows.translate import EndLedgers
from services.kernel.domain.presets.catalog import PRESETS
from services.kernel.domain.presets.fit import bracket
from services.kernel.domain.presets.shape import Goal
from services.kernel.domain.promise import is_range
from tests.unit.decision.decide.test_ledgers import CONFIG
from tests.unit.decision.rows.measured_workloads import GRID, measured_member, sampled

EDGES_S = {histogram.goal: histogram.edges_s for histogram in PRESETS["vllm"].goals}
GOALS: tuple[Goal, ...] = ("ttft", "e2e")
KINDS = ("DemandFraction", "TimeFraction")


@dataclass(frozen=True)
class Window:
    """A window of one workload: its ledgers, and what truly happened.

    Attributes:
        state: Memory with what decides.
        ends: The ledgers of both ends.
        truth: Share of the requests, or of the minutes, that truly missed.
    """

    state: RiskState
    ends: EndLedgers
    truth: float


def final_steps(found: dict[float, StepSli]) -> list[SettledStep]:
    return [SettledStep(at, 0.0, sli, True, True, ()) for at, sli in sorted(found.items())]


def counted(member: ShardMember, steps: list[SettledStep], truth: float = 0.0) -> Window:
    """The ledgers after the steps."""
    state = learn({1: member}, {1: steps}, ShardRows(), CONFIG).get(1, RiskState())
    found = count_ends({1: member}, {1: steps}, {}).get(1, EndLedgers())
    return Window(state, found, truth)


def member_of(thresholds_s: tuple[float, ...], kind: str, has_sum: bool = False) -> ShardMember:
    """A workload with these goals; with the sum and the edges off an edge it is estimated."""
    goals = [
        {"metric": goal, "threshold_s": threshold}
        for goal, threshold in zip(GOALS, thresholds_s, strict=False)
    ]
    names = [f"sli_{goal}_{end}" for goal in GOALS[: len(goals)] for end in ("total", "good")]
    if not has_sum:
        return measured_member(*goals, series=(*names, "sli_lost"), kind=kind)
    edges_s: dict[str, float | None] = {}
    for goal, threshold in zip(GOALS, thresholds_s, strict=False):
        place = bracket(EDGES_S[goal], threshold)
        edges_s |= {f"sli_{goal}_good": place.below_s, f"sli_{goal}_upto": place.above_s}
        names += [f"sli_{goal}_upto", f"sli_{goal}_sum"]
    names = [*names, "sli_lost"]
    return measured_member(*goals, series=tuple(names), kind=kind, edges_s=edges_s)


def simulated(
    seed: int, thresholds_s: tuple[float, ...], kind: str, lost: bool, has_sum: bool = False
) -> Window:
    """Latencies that no histogram shows, counted as vLLM's buckets count them.

    Every step has its own load, so that good and bad ones weigh differently; goals go together as
    in a queue. Requests that are lost may have been observed before, or not.
    """
    rng = np.random.default_rng(seed)
    counts: dict[str, list[float]] = {}
    shares, missed, requests = [], 0, 0
    for _ in range(GRID.n_steps):
        n = int(rng.integers(25, 800))
        ttft = rng.lognormal(rng.normal(-1.0, 0.7), 0.6, n)
        latency = {"ttft": ttft, "e2e": ttft + rng.lognormal(rng.normal(0.3, 0.4), 0.5, n)}
        is_missed = np.zeros(n, bool)
        for goal, threshold in zip(GOALS, thresholds_s, strict=False):
            is_missed |= latency[goal] > threshold
            for name, value in bucketed(goal, latency[goal], threshold).items():
                counts.setdefault(name, []).append(value)
            if has_sum:
                counts.setdefault(f"{goal}_sum", []).append(float(latency[goal].sum()))
        n_lost = int(rng.integers(0, 2 * n)) if lost and rng.random() < 0.4 else 0
        n_inside = int(rng.integers(0, min(n, n_lost) + 1))
        is_missed[rng.permutation(n)[:n_inside]] = True
        counts.setdefault("lost", []).append(float(n_lost))
        n_missed, n_all = int(is_missed.sum()) + n_lost - n_inside, n + n_lost - n_inside
        shares.append(n_missed / n_all)
        missed, requests = missed + n_missed, requests + n_all
    member = member_of(thresholds_s, kind, has_sum)
    of_minutes = float(np.mean(np.array(shares) > 0.05))
    truth = missed / requests if kind == "DemandFraction" else of_minutes
    steps = final_steps(dict(measure(member, sampled(**counts), GRID, False).steps))
    assert len(steps) == GRID.n_steps
    return counted(member, steps, truth)


def bucketed(goal: Goal, latency_s: FloatArray, threshold_s: float) -> dict[str, float]:
    """Counts of a goal as its preset's queries give them."""
    place = bracket(EDGES_S[goal], threshold_s)
    upper = np.inf if place.above_s is None else place.above_s
    return {
        f"{goal}_total": float(latency_s.size),
        f"{goal}_good": float((latency_s <= place.below_s).sum()),
        f"{goal}_upto": float((latency_s <= upper).sum()),
    }


def decided(window: Window, member: ShardMember) -> float:
    budget = error_budget(window.state, translate.to_sla(member.spec), float(member.step_s))
    assert budget.measured_ratio is not None
    return budget.measured_ratio


def ends(window: Window, member: ShardMember) -> tuple[float, float]:
    found = range_ends(window.state, window.ends, member)
    assert found.low_ratio is not None
    assert found.high_ratio is not None
    return found.low_ratio, found.high_ratio


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    ttft_s=st.floats(0.02, 3.0),
    e2e_s=st.floats(0.5, 12.0),
    kind=st.sampled_from(KINDS),
    lost=st.booleans(),
)
def test_off_an_edge_the_stated_interval_contains_the_truth(
    seed: int, ttft_s: float, e2e_s: float, kind: str, lost: bool
) -> None:
    window = simulated(seed, (ttft_s, e2e_s), kind, lost)
    member = member_of((ttft_s, e2e_s), kind)
    low, high = ends(window, member)
    assert low - 1e-9 <= window.truth <= high + 1e-9
    assert decided(window, member) == pytest.approx(high), "nothing is estimated"


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    ttft_s=st.floats(0.02, 3.0),
    e2e_s=st.floats(0.5, 12.0),
    kind=st.sampled_from(KINDS),
    lost=st.booleans(),
)
def test_where_the_sum_is_known_the_estimate_decides_and_the_interval_stays_sure(
    seed: int, ttft_s: float, e2e_s: float, kind: str, lost: bool
) -> None:
    window = simulated(seed, (ttft_s, e2e_s), kind, lost, has_sum=True)
    member = member_of((ttft_s, e2e_s), kind, has_sum=True)
    low, high = ends(window, member)
    assert low - 1e-9 <= window.truth <= high + 1e-9
    assert low - 1e-9 <= decided(window, member) <= high + 1e-9
    unestimated = simulated(seed, (ttft_s, e2e_s), kind, lost)
    assert (low, high) == pytest.approx(ends(unestimated, member_of((ttft_s, e2e_s), kind)))


def test_beside_an_estimate_both_ends_are_other_figures() -> None:
    window = simulated(7, (0.6,), "DemandFraction", lost=False, has_sum=True)
    member = member_of((0.6,), "DemandFraction", has_sum=True)
    low, high = ends(window, member)
    assert is_range(low, decided(window, member))
    assert is_range(decided(window, member), high)


@given(
    seed=st.integers(0, 2**32 - 1),
    edge_s=st.sampled_from([e for e in EDGES_S["ttft"] if 0.01 < e < 10]),
    kind=st.sampled_from(KINDS),
)
def test_on_an_edge_it_is_the_truth(seed: int, edge_s: float, kind: str) -> None:
    window = simulated(seed, (edge_s,), kind, lost=False)
    low, high = ends(window, member_of((edge_s,), kind))
    assert (low, high) == pytest.approx((window.truth, window.truth), abs=1e-9)
    assert not is_range(low, high)


def test_the_interval_is_no_wider_than_the_bucket() -> None:
    """Of one goal without losses its width is the share of requests in the threshold's bucket."""
    window = simulated(7, (0.6,), "DemandFraction", lost=False)
    low, high = ends(window, member_of((0.6,), "DemandFraction"))
    at_edges = [simulated(7, (edge,), "DemandFraction", lost=False).truth for edge in (0.75, 0.5)]
    assert (low, high) == pytest.approx(at_edges)
    assert is_range(low, high)


def test_where_more_was_lost_than_answered_the_bad_step_weighs_what_it_was() -> None:
    """10 answered late and 10 lost are 20 misses, not 10 of 10, beside 100 that were good."""
    member = measured_member(kind="DemandFraction")
    counts = sampled(ttft_total=[10.0, 100.0], ttft_good=[0.0, 100.0], lost=[10.0, 0.0])
    window = counted(member, final_steps(dict(measure(member, counts, GRID, False).steps)))
    assert ends(window, member) == pytest.approx((10 / 110, 20 / 120))
    assert decided(window, member) == pytest.approx(20 / 120)


def test_what_is_left_of_the_budget_is_an_interval_too() -> None:
    member = measured_member(kind="DemandFraction")
    counts = sampled(ttft_total=[100.0], ttft_good=[90.0], ttft_upto=[96.0], lost=[0.0])
    window = counted(member, final_steps(dict(measure(member, counts, GRID, False).steps)))
    sla = translate.to_sla(member.spec)
    left = error_budget(window.state, sla, float(member.step_s)).left_ratio
    found = range_ends(window.state, window.ends, member)
    assert left is not None
    assert found.left_high_ratio is not None
    assert (1 - found.left_high_ratio) / (1 - left) == pytest.approx(0.04 / 0.1)
    assert found.left_low_ratio == pytest.approx(left)


def test_the_ends_are_unknown_until_they_are_known_of_all_that_the_ledger_holds() -> None:
    member = measured_member(kind="DemandFraction")
    counts = sampled(ttft_total=[100.0], ttft_good=[90.0], lost=[0.0])
    steps = final_steps(dict(measure(member, counts, GRID, False).steps))
    before = RiskState(measured_missed=5.0, measured_total=900.0, measured_steps=9.0)
    state = learn({1: member}, {1: steps}, ShardRows(risk={1: before}), CONFIG)[1]
    found = count_ends({1: member}, {1: steps}, {})[1]
    assert range_ends(state, found, member) == RangeEnds()
    assert range_ends(RiskState(), EndLedgers(), member) == RangeEnds(), "nothing was measured"
    known = replace(state, measured_steps=1.0)
    assert range_ends(known, found, member) != RangeEnds()
    assert range_ends(known, replace(found, high=RiskState()), member) == RangeEnds()


def test_a_step_counts_once_it_is_final_and_only_where_it_was_measured() -> None:
    member = measured_member()
    counts = sampled(ttft_total=[100.0], ttft_good=[90.0], lost=[0.0])
    (step,) = final_steps(dict(measure(member, counts, GRID, False).steps))
    open_or_unknown = [replace(step, is_final=False), replace(step, sli=None)]
    assert count_ends({1: member}, {1: open_or_unknown}, {}) == {}
    other = {2: EndLedgers(low=RiskState(measured_steps=3.0))}
    assert count_ends({1: member}, {1: [step]}, other).keys() == {1, 2}
