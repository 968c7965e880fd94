"""Impossible inputs are refused when they are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import (
    MissDraws,
    ShardRequest,
    Sla,
)
from decider.errors import InvalidRequest
from tests.unit.decider.shards import shard, workload


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Sla(0.0), "epsilon=0"),
        (lambda: Sla(1.0), "epsilon=1"),
        (lambda: shard(np.zeros((1, 3, 2)), [workload(), workload()]), "must be W=2"),
        (lambda: shard(np.zeros((1, 3, 2)), capacity=0.0), "capacity_draws must be > 0"),
        (lambda: shard(np.zeros((1, 3, 2)), lead_s=np.nan), "lead_time_draws_s must be finite"),
        (lambda: shard(np.zeros((1, 3, 2)), budgets={"H100": -1}), "gpu_budgets"),
        (lambda: ShardRequest((), np.zeros((0, 1, 1)), np.ones((0, 1)), np.ones((0, 1)), 60.0),
         "at least one workload"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused_at_the_door(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()


def test_responses_that_cannot_be_decided_on_are_refused() -> None:
    good = workload(sla=Sla(0.01, good_share=0.95))
    draws = MissDraws(np.ones(2), np.ones(2), np.zeros(2), np.ones(2))
    request = shard(np.ones((3, 2)), [good])
    assert replace(request, responses=(draws,)).response(0) is draws
    assert request.response(0) is None
    with pytest.raises(InvalidRequest, match="responses has 2 entries"):
        replace(request, responses=(draws, None))
    with pytest.raises(InvalidRequest, match="good_share"):
        replace(request, workloads=(replace(good, sla=Sla(0.01)),), responses=(draws,))
    with pytest.raises(InvalidRequest, match="requests_per_step=0"):
        replace(request, workloads=(replace(good, requests_per_step=0.0),), responses=(draws,))


def test_further_loads_that_cannot_be_decided_on_are_refused() -> None:
    paths, further = np.ones((3, 2)), np.ones((2, 3, 2))
    request = shard(paths, [workload(further_capacity=(5.0, 7.0))])
    assert replace(request, further_paths=(further,)).further(0) is further
    assert request.further(0) is None
    with pytest.raises(InvalidRequest, match="further_paths has 2 entries"):
        replace(request, further_paths=(further, None))
    with pytest.raises(InvalidRequest, match=r"w: further_paths has shape \(1, 3, 2\), must be"):
        replace(request, further_paths=(further[:1],))
    with pytest.raises(InvalidRequest, match="w0: further_paths has shape"):
        replace(shard(paths), further_paths=(further,))
    with pytest.raises(
        InvalidRequest, match=r"w: further_capacity=\(0.0,\) must be finite and > 0"
    ):
        workload(further_capacity=(0.0,))
    with pytest.raises(InvalidRequest, match="at most 3 loads"):
        workload(further_capacity=(1.0,) * 4)


def test_a_response_of_other_loads_is_refused() -> None:
    owner = workload(sla=Sla(0.01, good_share=0.95), further_capacity=(5.0,))
    draws = MissDraws(np.ones(2), np.ones(2), np.zeros(2), np.ones(2))
    request = shard(np.ones((3, 2)), [owner])
    with pytest.raises(InvalidRequest, match="its response has 0 further loads, must have 1"):
        replace(request, responses=(draws,))
