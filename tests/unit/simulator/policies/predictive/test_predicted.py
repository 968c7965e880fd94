"""Policies on sample paths: medians, quantiles of the peak, conformal feedback, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.grid import GridView
from services.simulator.policies.predictive.predicted import (
    AdaptiveConformal,
    ForecastQuantile,
    PointForecast,
)

NAN = float("nan")


def see(paths, *, demand=(5.0,), step=0, replicas=3.0, high=1000.0, n_settings=1):
    """One workload with paths (S, H), at the end of step number `step`."""
    spec = np.full((n_settings, 1), replicas)
    return GridView(
        now_s=60.0 * step,
        step_s=60.0,
        demand=np.atleast_2d(np.asarray(demand, dtype=float)),
        ready=spec,
        starting=np.zeros_like(spec),
        replicas=spec,
        capacity=np.ones(1),
        min_replicas=np.zeros(1),
        max_replicas=np.full(1, high),
        paths=None if paths is None else np.asarray(paths, dtype=float)[None],
    )


def once(policy, view):
    return policy.decide(view, policy.initial_state())[0].ravel().tolist()


PATHS = [[1, 20, 90], [3, 10, 90], [8, 6, 90]]
"""Medians 3, 10, 90 by step; peaks over steps 0 and 1: 20, 10, 8."""


class TestPoint:
    @pytest.mark.parametrize(("lead", "wanted"), [(0, 3), (1, 10), (2, 90)])
    def test_largest_median_up_to_the_lead_time(self, lead, wanted):
        assert once(PointForecast(0.0, lead), see(PATHS)) == [wanted]

    def test_a_falling_forecast_is_sized_for_now(self):
        assert once(PointForecast(0.0, 1), see([[9, 2]])) == [9]

    def test_margin(self):
        # 10 * 1.25 = 12.5
        assert once(PointForecast(0.25, 1), see(PATHS)) == [13]

    def test_even_numbers_of_paths_take_the_middle(self):
        assert once(PointForecast(0.0, 0), see([[2], [7]])) == [5]  # 4.5


class TestQuantile:
    @pytest.mark.parametrize(
        ("level", "wanted"),
        [(0.0, 8), (0.25, 9), (0.5, 10), (0.75, 15), (0.9, 18), (1.0, 20)],
    )
    def test_quantile_of_the_joint_peak(self, level, wanted):
        # peaks 8, 10, 20: the quantile is linear from 8 to 10 and from 10 to 20
        assert once(ForecastQuantile(level, lead_steps=1), see(PATHS)) == [wanted]

    def test_margin_reaches_beyond_the_largest_path(self):
        # 20 * 1.25
        policy = ForecastQuantile(1.0, 0.25, 1)
        assert once(policy, see(PATHS)) == [25]
        assert policy.label(0) == "q1 of the peak + 25 %"

    def test_the_peak_of_paths_is_not_the_quantile_of_steps(self):
        # each path peaks at 10, in one step or the other: the median of either step is 5.5
        assert once(ForecastQuantile(0.5, lead_steps=1), see([[1, 10], [10, 1]])) == [10]
        assert once(PointForecast(0.0, 1), see([[1, 10], [10, 1]])) == [6]

    @given(c_under=st.floats(0.1, 100), n=st.integers(1, 60))
    def test_the_level_of_a_ratio_of_costs_minimises_the_expected_cost(self, c_under, n):
        peaks = np.random.default_rng(n).permutation(n) + 1.0

        def cost(count):
            return np.mean(np.maximum(count - peaks, 0) + c_under * np.maximum(peaks - count, 0))

        # interpolated between paths one apart, the count is at most one step from the best
        (count,) = once(
            ForecastQuantile(c_under / (1 + c_under), lead_steps=0), see(peaks[:, None])
        )
        best = min(cost(k) for k in range(n + 1))
        assert cost(count) <= best + (1 + c_under) / n + 1e-9


@pytest.mark.parametrize(
    "policy", [PointForecast(), ForecastQuantile(), AdaptiveConformal()], ids=lambda p: p.name
)
class TestWithoutAForecast:
    def test_no_paths_holds(self, policy):
        assert once(policy, see(None, replicas=7)) == [7]
        assert once(policy, see(np.zeros((0, 4)), replicas=7)) == [7]

    def test_a_bad_value_holds(self, policy):
        assert once(policy, see([[1, 2], [3, NAN]], replicas=7)) == [7]
        assert once(policy, see([[1, 2], [3, np.inf]], replicas=7)) == [7]

    def test_a_bad_value_after_the_lead_time_does_not_matter(self, policy):
        assert once(policy, see([[1, 2, NAN]], replicas=7)) != [7]

    def test_a_short_horizon_is_refused(self, policy):
        with pytest.raises(ValueError, match="lead_steps"):
            once(policy, see([[1.0], [2.0]]))


def ramp(n=101):
    """Paths 0, 1, ... 100 at every step: the quantile at level q is 100 q."""
    return np.repeat(np.arange(n, dtype=float)[:, None], 3, axis=1)


def alphas(policy, demand, *, paths=None, first=0):
    """Alpha after each boundary, with the same paths at all of them."""
    state, seen = policy.initial_state(), []
    for step in range(len(demand)):
        view = see(ramp() if paths is None else paths, demand=demand[: step + 1], step=first + step)
        _, state = policy.decide(view, state)
        seen.append(float(state.alpha[0, 0]))
    return seen


class TestConformal:
    def test_first_bound_is_at_the_target(self):
        assert once(AdaptiveConformal(0.1, lead_steps=0), see(ramp())) == [90]

    def test_a_margin_is_part_of_the_bound(self):
        # 90 * 1.1 = 99: a demand of 95 is no miss
        policy = AdaptiveConformal(0.1, 0.05, margin=0.1, lead_steps=0)
        assert once(policy, see(ramp())) == [99]
        assert alphas(policy, [0, 95])[1] == pytest.approx(0.105)

    def test_alpha_moves_by_the_rule(self):
        # 0.1; no miss: 0.1 + 0.05 * 0.1 = 0.105; a miss: 0.105 + 0.05 * (0.1 - 1) = 0.06
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        assert alphas(policy, [50, 89, 95]) == pytest.approx([0.1, 0.105, 0.06])

    def test_the_next_bound_is_at_the_new_level(self):
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        _, state = policy.decide(see(ramp(), step=0), policy.initial_state())
        wanted, _ = policy.decide(see(ramp(), demand=[5, 95], step=1), state)
        # alpha 0.1 - 0.045 = 0.055: the quantile 94.5
        assert wanted == 95

    def test_demand_at_the_bound_is_no_miss(self):
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        assert alphas(policy, [0, 90])[1] == pytest.approx(0.105)

    def test_a_step_is_held_against_the_smallest_bound_given_for_it(self):
        # lead of one step: bounds 50 (paths to 50), then 90 (paths to 100); the 60 of the step
        # after the second decision exceeds what the first could have brought
        policy = AdaptiveConformal(0.0001, 0.05, lead_steps=1)
        _, state = policy.decide(see(ramp(51), step=0), policy.initial_state())
        _, state = policy.decide(see(ramp(101), demand=[5, 6], step=1), state)
        before = state.alpha[0, 0]
        _, state = policy.decide(see(ramp(101), demand=[5, 6, 60], step=2), state)
        assert state.alpha[0, 0] < before
        # one step later the bound of 50 no longer counts
        before = state.alpha[0, 0]
        _, state = policy.decide(see(ramp(101), demand=[5, 6, 60, 60], step=3), state)
        assert state.alpha[0, 0] > before

    def test_unknown_demand_teaches_nothing(self):
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        assert alphas(policy, [50, NAN, NAN])[-1] == 0.1

    def test_a_step_without_bound_teaches_nothing(self):
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        _, state = policy.decide(see(None, step=0), policy.initial_state())
        _, state = policy.decide(see(ramp(), demand=[5, 99], step=1), state)
        assert state.alpha[0, 0] == 0.1

    def test_missed_boundaries_teach_nothing(self):
        policy = AdaptiveConformal(0.1, 0.05, lead_steps=0)
        _, state = policy.decide(see(ramp(), step=0), policy.initial_state())
        _, state = policy.decide(see(ramp(), demand=[5, 99], step=3), state)
        assert state.alpha[0, 0] == 0.1

    def test_alpha_stays_in_its_range(self):
        policy = AdaptiveConformal(0.1, 0.5, lead_steps=0)
        low = alphas(policy, [500.0] * 8)
        assert min(low) == -0.5
        high = alphas(policy, [0.0] * 40)
        assert max(high) <= 1.5

    @pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
    def test_the_miss_rate_converges_to_the_target(self, rate):
        # demand uniform on [0, 100] against paths that reach from 40 to 140 only: a forecast
        # that is wrong by 40, whose quantile would miss far less
        rng = np.random.default_rng(7)
        demand, paths = rng.uniform(0, 100, 4000), ramp() + 40.0
        policy = AdaptiveConformal(rate, 0.02, lead_steps=0)
        state, n_missed, wanted = policy.initial_state(), 0, np.inf
        for step, value in enumerate(demand):
            n_missed += value > wanted
            view = see(paths, demand=demand[: step + 1], step=step)
            _, state = policy.decide(view, state)
            wanted = state.bounds[-1, 0, 0]
        # |rate - target| <= (1 + gamma) / (gamma * T) = 0.013
        assert n_missed / demand.size == pytest.approx(rate, abs=0.013)


class TestPacing:
    def knobs(self, **changes):
        plain = {"target_rate": 0.2, "gamma": 0.1, "pi_gain": 0.5, "lead_steps": 0}
        return AdaptiveConformal(**(plain | {"period_steps": 10} | changes))

    def test_pace_is_what_is_left_per_remaining_step(self):
        # budget 2 of 10 steps. First step: pace 0.2, a miss: 0.2 + 0.1 * (0.2 - 1) = 0.12.
        # Second: pace 1/9, no miss: 0.12 + 0.1 / 9 = 0.13111
        assert alphas(self.knobs(), [0, 99, 0]) == pytest.approx([0.2, 0.12, 0.131111], abs=1e-6)

    def test_proportional_part_of_the_level(self):
        # alpha 0.12 plus 0.5 * (1/9 - 0.2) = -0.04444: level 1 - 0.07556, the quantile 92.44
        policy = self.knobs()
        _, state = policy.decide(see(ramp(), step=0), policy.initial_state())
        wanted, _ = policy.decide(see(ramp(), demand=[0, 99], step=1), state)
        assert wanted == 93

    def test_a_spent_budget_asks_for_no_more_misses(self):
        # misses spend the budget of 2; the pace is 0 then, and without misses alpha stays
        seen = alphas(self.knobs(), [0, 99, 99, 0, 0])
        assert seen[3] == seen[2]
        assert seen[4] == seen[2]

    def test_a_new_period_has_a_new_budget(self):
        # the tenth step ends the period: the eleventh has a pace of 0.2 again
        seen = alphas(self.knobs(), [0, 99, 99, *[0] * 9])
        assert seen[10] == seen[2]
        assert seen[11] == pytest.approx(seen[10] + 0.1 * 0.2)

    def test_without_gain_it_is_plain_aci(self):
        demand = np.random.default_rng(3).uniform(0, 100, 40)
        paced = alphas(self.knobs(pi_gain=0.0), demand)
        assert paced == alphas(AdaptiveConformal(0.2, 0.1, lead_steps=0), demand)

    def test_names(self):
        assert self.knobs().name == "paced_conformal"
        assert AdaptiveConformal().name == "adaptive_conformal"


@pytest.mark.parametrize(
    ("policy", "bad"),
    [
        (PointForecast, {"margin": -1}),
        (PointForecast, {"lead_steps": -1}),
        (ForecastQuantile, {"level": 1.1}),
        (AdaptiveConformal, {"target_rate": 0}),
        (AdaptiveConformal, {"gamma": -0.1}),
        (AdaptiveConformal, {"pi_gain": -1}),
        (AdaptiveConformal, {"period_steps": 0}),
    ],
)
def test_wrong_knobs_are_named(policy, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        policy(**bad)
