"""Counts were nothing waiting: those of the same workloads that nothing waits for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import DecideConfig, Limits, ShardRequest
from decider.planning.fallback import DecisionTime, Standing, stand
from decider.planning.outlook import look_ahead
from decider.planning.quiet import quiet_counts
from decider.tables.soft_response import soft_responses
from tests.unit.decider.shards import NOW_S, noisy, workload
from tests.unit.decider.tables.exact_cases import LEVELS, steps_of
from tests.unit.decider.tables.load_cases import bound, further_paths, load_shard, several
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

CONFIG = DecideConfig()


def standing(request: ShardRequest) -> list[Standing]:
    time = DecisionTime(NOW_S, request.step_s)
    return [
        stand(w, request.paths[i], time, 10.0, CONFIG.fallback, request.further(i))
        for i, w in enumerate(request.workloads)
    ]


def shard_of(*waiting: float) -> ShardRequest:
    owners = [
        workload(f"w{i}", sla=sla(), limits=Limits(1, 500), waiting_load=load)
        for i, load in enumerate(waiting)
    ]
    paths = np.stack([noisy(80.0 + 40.0 * i, i) for i in range(len(owners))])
    drawn = [response(i) if i != 2 else None for i in range(len(owners))]
    return soft_shard(paths, drawn, owners)


def test_only_workloads_of_which_something_waits_are_planned_again() -> None:
    request = shard_of(50.0, 0.0, 50.0, 90.0)
    quiet = look_ahead(shard_of(0.0, 0.0, 0.0, 0.0), standing(request), CONFIG).first()
    assert quiet_counts(request, standing(request), CONFIG) == {0: int(quiet[0]), 3: int(quiet[3])}


def test_none_is_where_nothing_waits_or_nothing_is_remembered() -> None:
    idle, busy = shard_of(0.0, 0.0), shard_of(50.0, 50.0)
    assert quiet_counts(idle, standing(idle), CONFIG) == {}
    forgetful = replace(CONFIG, max_backlog_steps=0.0)
    assert quiet_counts(busy, standing(busy), forgetful) == {}


def test_further_loads_go_along() -> None:
    paths = np.stack([noisy(80.0), noisy(120.0)])
    owners = [bound(sla=sla(), limits=Limits(1, 500), waiting_load=50.0 * i) for i in range(2)]
    one = soft_shard(paths, [several(0), several(1)], owners)
    request = replace(one, further_paths=tuple(further_paths(each) for each in paths))
    alone = load_shard(paths[1], further_paths(paths[1]), owners[1], several(1))
    found = quiet_counts(request, standing(request), CONFIG)
    assert found == {1: quiet_counts(alone, standing(alone), CONFIG)[0]}


def test_quantiles_go_along() -> None:
    request = shard_of(50.0, 0.0, 50.0)
    known = [steps_of(*np.quantile(paths, LEVELS, axis=0).T) for paths in request.paths]
    request = replace(request, quantiles=tuple(known))
    assert set(quiet_counts(request, standing(request), CONFIG)) == {0}


def test_responses_that_are_known_are_not_made_again() -> None:
    request = shard_of(50.0, 0.0, 50.0, 90.0)
    outlook = look_ahead(request, standing(request), CONFIG)
    assert outlook.soft.keys() == {0, 1, 3}
    made = {row: dict(one.loads) for row, one in outlook.soft.items()}
    found = quiet_counts(request, standing(request), CONFIG, outlook.soft)
    assert found == quiet_counts(request, standing(request), CONFIG)
    assert {row: one.loads for row, one in outlook.soft.items()} == made  # none was looked for anew


def test_a_response_does_not_ask_who_else_is_there_or_what_waits() -> None:
    request, alone = shard_of(50.0, 0.0, 50.0, 90.0), shard_of(50.0, 0.0, 50.0, 90.0).part([3])
    idle = replace(alone, workloads=(replace(alone.workloads[0], waiting_load=0.0),))
    among = soft_responses(request)[3]
    loads = np.linspace(-4.0, 4.0, 200) + float(np.log(np.median(among.draws.capacity)))
    for part in (alone, idle):
        by_itself = soft_responses(part)[0]
        np.testing.assert_array_equal(by_itself.risk(loads), among.risk(loads))
        assert by_itself.load_at(0.01) == among.load_at(0.01)
