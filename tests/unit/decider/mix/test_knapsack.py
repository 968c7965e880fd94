"""Mixes of GPU types: within 1 % of an exact integer solution, and budgets that hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from decider.budget.choice import Choices, dual_bound
from decider.mix.candidates import minimal_covers
from decider.mix.knapsack import choose_options
from decider.types import FloatArray, IntArray
from decider.variant_types import VariantState

TYPES = ("H100", "A100", "L4")


def variant(gpu_type: str, *figures: Any, **bounds: Any) -> VariantState:
    return VariantState(gpu_type, gpu_type, *figures, **bounds)


@dataclass(frozen=True)
class Need:
    """What a workload loses per hour by its total capacity: below levels[0], from it on, ..."""

    variants: tuple[VariantState, ...]
    levels: FloatArray
    loss_usd_per_hour: FloatArray

    def loss_at(self, capacity: float) -> float:
        reached = int(np.searchsorted(self.levels, capacity * (1 + 1e-12), side="right"))
        return float(self.loss_usd_per_hour[reached])

    def mixes(self) -> IntArray:
        """(K, V) minimal mixes of every level, the least counts first."""
        least = tuple(v.least for v in self.variants)
        rooms = [v.most - v.least for v in self.variants]
        ratios = [v.capacity_ratio for v in self.variants]
        held = sum(v.least * v.capacity_ratio for v in self.variants)
        found = {
            tuple(a + b for a, b in zip(least, extra, strict=True))
            for level in self.levels
            for extra in minimal_covers(rooms, ratios, float(level) - held)
        }
        return np.array([least, *sorted(found - {least})])


@dataclass(frozen=True)
class Mix:
    """What is chosen for every workload."""

    counts: tuple[tuple[int, ...], ...]
    cost_usd_per_hour: float
    bound_usd_per_hour: float
    prices: FloatArray
    is_feasible: bool


def choose_mix(needs: list[Need], budgets: dict[str, int]) -> Mix:
    """Minimal mixes as options, padded with what is not open; one budget for each type."""
    mixes = [need.mixes() for need in needs]
    size = max(len(mix) for mix in mixes)
    cost = np.full((len(needs), size), np.inf)
    use = np.zeros((len(needs), size, len(budgets)), dtype=np.int64)
    for row, (need, mix) in enumerate(zip(needs, mixes, strict=True)):
        gpus = np.array([v.gpus_per_replica for v in need.variants])
        usd = gpus * np.array([v.price_usd_per_gpu_hour for v in need.variants])
        capacity = mix @ np.array([v.capacity_ratio for v in need.variants])
        cost[row, : len(mix)] = mix @ usd + [need.loss_at(float(c)) for c in capacity]
        for at, name in enumerate(budgets):
            of_type = np.array([v.gpu_type == name for v in need.variants])
            use[row, : len(mix), at] = mix @ (gpus * of_type)
    problem = Choices(cost, use, np.array(list(budgets.values()), dtype=np.int64))
    chosen, prices, is_feasible = choose_options(problem)
    counts = tuple(tuple(mix[k].tolist()) for mix, k in zip(mixes, chosen, strict=True))
    bound = dual_bound(problem, prices)
    return Mix(counts, problem.cost_of(chosen), bound, prices, is_feasible)


def random_needs(seed: int, n: int) -> list[Need]:
    """Workloads on two or three types; gangs of 1 to 8 GPUs, losses that are not convex."""
    rng = np.random.default_rng(seed)
    needs = []
    for _ in range(n):
        names = rng.permutation(TYPES)[: rng.integers(1, 4)]
        variants = tuple(
            variant(
                str(name),
                int(rng.choice([1, 2, 4, 8])),
                float(rng.uniform(5, 40)),
                float(rng.uniform(0.5, 4)),
                int(rng.integers(0, 2)),
                int(rng.integers(3, 12)),
            )
            for name in names
        )
        levels = np.cumsum(rng.uniform(5, 40, int(rng.integers(1, 7))))
        drops = rng.exponential(rng.uniform(5, 60), levels.size) * rng.integers(0, 2, levels.size)
        loss = drops.sum() - np.concatenate([[0.0], np.cumsum(drops)])
        needs.append(Need(variants, levels, loss))
    return needs


def random_budgets(seed: int, needs: list[Need], share: float) -> dict[str, int]:
    """From the least counts (share 0) to what an unbounded choice takes (share 1)."""
    free = choose_mix(needs, {})
    budgets = {}
    for name in TYPES[: 1 + seed % 3]:
        least = sum(v.least * v.gpus_per_replica for w in needs for v in w.variants
                    if v.gpu_type == name)  # fmt: skip
        budgets[name] = least + int(share * max(0, gpus_of(needs, free)[name] - least))
    return budgets


def gpus_of(needs: list[Need], mix: Mix) -> dict[str, int]:
    used = dict.fromkeys(TYPES, 0)
    for need, counts in zip(needs, mix.counts, strict=True):
        for variant, n in zip(need.variants, counts, strict=True):
            used[variant.gpu_type] += n * variant.gpus_per_replica
    return used


def cost_of(needs: list[Need], mix: Mix) -> float:
    total = 0.0
    for need, counts in zip(needs, mix.counts, strict=True):
        pairs = list(zip(need.variants, counts, strict=True))
        total += sum(n * v.gpus_per_replica * v.price_usd_per_gpu_hour for v, n in pairs)
        total += need.loss_at(sum(n * v.capacity_ratio for v, n in pairs))
    return total


def exact_cost(needs: list[Need], budgets: dict[str, int]) -> float:
    """Counts are integers, one level per workload is reached; by HiGHS, with no mixes made."""
    columns: list[tuple[int, str, object]] = []
    for w, need in enumerate(needs):
        columns += [(w, "count", v) for v in need.variants]
        columns += [(w, "level", at) for at in range(need.levels.size + 1)]
    cost, lower, upper = (np.zeros(len(columns)) for _ in range(3))
    reach, one = np.zeros((len(needs), len(columns))), np.zeros((len(needs), len(columns)))
    use = np.zeros((len(budgets), len(columns)))
    for at, (w, kind, what) in enumerate(columns):
        if kind == "count":
            assert isinstance(what, VariantState)
            cost[at] = what.gpus_per_replica * what.price_usd_per_gpu_hour
            lower[at], upper[at] = what.least, what.most
            reach[w, at] = what.capacity_ratio
            for row, name in enumerate(budgets):
                use[row, at] = what.gpus_per_replica * (what.gpu_type == name)
        else:
            assert isinstance(what, int)
            cost[at], upper[at], one[w, at] = needs[w].loss_usd_per_hour[what], 1, 1
            reach[w, at] = -np.concatenate([[0.0], needs[w].levels])[what]
    constraints = [LinearConstraint(reach, 0, np.inf), LinearConstraint(one, 1, 1)]
    if budgets:
        constraints.append(LinearConstraint(use, 0, list(budgets.values())))
    found = milp(cost, integrality=np.ones(len(columns)), bounds=Bounds(lower, upper),
                 constraints=constraints, options={"mip_rel_gap": 0.0})  # fmt: skip
    assert found.success, found.message
    return float(found.fun)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_mix_is_close_to_the_exact_solution(share: float) -> None:
    gaps = []
    for seed in range(40):
        needs = random_needs(seed, 6)
        budgets = random_budgets(seed, needs, share)
        mix = choose_mix(needs, budgets)
        best = exact_cost(needs, budgets)
        assert mix.is_feasible
        assert mix.cost_usd_per_hour == pytest.approx(cost_of(needs, mix))
        assert mix.cost_usd_per_hour >= best - 1e-4
        assert mix.bound_usd_per_hour <= best + 1e-4
        gaps.append(mix.cost_usd_per_hour / best - 1)
    print(f"share {share}: mean gap {np.mean(gaps):.2e}, worst {max(gaps):.2e}")
    assert max(gaps) < 0.01


@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), share=st.floats(0, 1.2))
@settings(max_examples=60, deadline=None)
def test_budgets_and_bounds_always_hold(seed: int, n: int, share: float) -> None:
    needs = random_needs(seed, n)
    budgets = random_budgets(seed, needs, share)
    mix = choose_mix(needs, budgets)
    used = gpus_of(needs, mix)
    assert all(used[name] <= budget for name, budget in budgets.items())
    for need, counts in zip(needs, mix.counts, strict=True):
        assert all(v.least <= k <= v.most for v, k in zip(need.variants, counts, strict=True))
    assert mix.bound_usd_per_hour <= mix.cost_usd_per_hour + 1e-6


def test_by_hand_the_scarce_type_goes_to_whom_the_other_costs_more() -> None:
    """Both want 10 of capacity, worth 1,000 USD/h; four H100 are enough for one of them."""
    h100 = variant("H100", 4, 10.0, 2.0)
    level, loss = np.array([10.0]), np.array([1000.0, 0.0])
    light = Need((h100, variant("L4", 1, 5.0, 1.0)), level, loss)  # 2 USD/h on L4
    heavy = Need((h100, variant("L4", 1, 1.0, 1.0)), level, loss)  # 10 USD/h on L4
    assert choose_mix([light, heavy], {}).counts == ((0, 2), (1, 0))
    mix = choose_mix([light, heavy], {"H100": 4, "L4": 1})
    assert mix.counts in (((1, 0), (0, 0)), ((0, 0), (1, 0)))
    assert mix.cost_usd_per_hour == 1008.0
    mix = choose_mix([light, heavy], {"H100": 0, "L4": 9})
    assert mix.counts == ((0, 2), (0, 0))
    assert mix.cost_usd_per_hour == 1002.0


def test_without_budgets_the_cheapest_mix_is_taken() -> None:
    """25 of capacity: 2 * 8 + 3 = 19 USD/h for two of 10 and one of 5; three of 10 are 24, five of
    5 are 15 where as many may run."""
    h100, level, loss = (
        variant("H100", 4, 10.0, 2.0),
        np.array([25.0]),
        np.array([500.0, 0.0]),
    )
    many = choose_mix([Need((h100, variant("L4", 1, 5.0, 3.0)), level, loss)], {})
    assert (many.counts, many.cost_usd_per_hour) == (((0, 5),), 15.0)
    few = choose_mix([Need((h100, variant("L4", 1, 5.0, 3.0, most=1)), level, loss)], {})
    assert (few.counts, few.cost_usd_per_hour) == (((2, 1),), 19.0)
    assert few.prices.size == 0


def test_least_counts_that_exceed_a_budget_are_given_and_said() -> None:
    need = Need(
        (variant("H100", 2, 10.0, 2.0, least=3),),
        np.array([100.0]),
        np.array([9.0, 0.0]),
    )
    mix = choose_mix([need], {"H100": 5})
    assert (mix.counts, mix.is_feasible) == (((3,),), False)


def test_a_scarce_type_has_a_price() -> None:
    needs = random_needs(3, 6)
    scarce = choose_mix(needs, random_budgets(2, needs, 0.3))
    assert scarce.prices.max() > 0


def test_a_larger_fleet_is_within_one_percent_of_the_dual_bound() -> None:
    needs = random_needs(5, 150)
    mix = choose_mix(needs, random_budgets(2, needs, 0.4))
    assert mix.is_feasible
    assert mix.cost_usd_per_hour <= 1.01 * mix.bound_usd_per_hour
