"""Grants of a scarce budget while demand stays the same: who has GPUs keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from decider import DecideConfig, Decision, Hardware, Limits, ReplicaState, decide_shard
from decider.types import WorkloadInput
from tests.unit.decider.shards import NOW_S, noisy, shard, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard
from tests.unit.decider.variant_sets import h100, mixed

CONFIG = DecideConfig()
N_STEPS = 6


def plain(name: str, runs: int, gpus: int = 1) -> WorkloadInput:
    hardware, replicas = Hardware("H100", gpus, 2.5), ReplicaState(runs, runs)
    return workload(name, hardware=hardware, replicas=replicas, limits=Limits(0, 40))


def one_kind(name: str, runs: int) -> WorkloadInput:
    return mixed(name, h100(runs, most=40), limits=Limits(0, 40))


def followed(owner: WorkloadInput, decision: Decision) -> WorkloadInput:
    """The workload once its decision was carried out."""
    n = decision.final
    found = replace(owner, replicas=ReplicaState(n, n))
    if owner.variants is None:
        return found
    states = tuple(replace(v, spec=n) for v in owner.variants.states)
    return replace(found, variants=replace(owner.variants, states=states))


def granted(owners: list[WorkloadInput], levels: list[float], budget: int) -> list[list[int]]:
    """Counts of each workload, decision by decision, on the same forecast."""
    paths = np.stack([noisy(level, i) for i, level in enumerate(levels)])
    found = []
    for _ in range(N_STEPS):
        decisions = decide_shard(shard(paths, owners, budgets={"H100": budget}), CONFIG, NOW_S)
        found.append([d.final for d in decisions])
        owners = [followed(*pair) for pair in zip(owners, decisions, strict=True)]
    return found


@pytest.mark.parametrize("made", [plain, one_kind])
def test_equals_do_not_change_places_under_a_budget_that_is_far_too_small(
    made: Callable[[str, int], WorkloadInput],
) -> None:
    """Two that want some twenty each, with 14 GPUs: each decision moved ten of them."""
    counts = granted([made("a", 12), made("b", 2)], [190.0, 180.0], 14)
    assert [sum(step) for step in counts] == [14] * N_STEPS
    assert all(step == counts[1] for step in counts[1:])


@pytest.mark.parametrize(("first", "budget"), [(2, 16), (15, 30)])
def test_promises_of_requests_keep_their_gpus_too(first: int, budget: int) -> None:
    """With GPUs for a third, or for most of what two want, they changed places each time."""
    owners = [
        replace(plain(name, runs), sla=sla(), limits=Limits(2, 60))
        for name, runs in (("a", first), ("b", budget - first))
    ]
    responses = [response(i, n_draws=16) for i in range(2)]
    paths = np.stack([noisy(level, i, cv=0.03) for i, level in enumerate((120.0, 110.0))])
    found = []
    for _ in range(N_STEPS):
        request = soft_shard(paths, [*responses], owners, budgets={"H100": budget})
        decisions = decide_shard(request, CONFIG, NOW_S)
        found.append([d.final for d in decisions])
        owners = [followed(*pair) for pair in zip(owners, decisions, strict=True)]
    assert all(step == found[1] for step in found[1:])


def test_services_of_several_sizes_keep_what_a_scarce_budget_left_them() -> None:
    owners = [plain("large", 2, 4), plain("small", 4), plain("other", 4)]
    counts = granted(owners, [40.0, 190.0, 180.0], 22)
    assert all(step == counts[1] for step in counts[1:])
