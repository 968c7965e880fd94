"""Twice as much as fits, through real workers that are killed in the midst of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.kernel.settings import Settings
from services.lab.bench.fleet import history_repository
from services.lab.bench.fleet.run import CycleOptions, run_fleet
from tests.few_trees import FEW_TREES

pytestmark = [pytest.mark.integration, pytest.mark.slow]

N_WORKLOADS, SHARD_SIZE, N_STEPS = 60, 20, 20


def test_an_overload_ends_in_no_collapse_and_a_kill_loses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(history_repository.CONFIG, trees=FEW_TREES)
    monkeypatch.setattr(history_repository, "CONFIG", config)
    options = CycleOptions(
        n_workloads=N_WORKLOADS,
        n_workers=2,
        n_cycles=2,
        step_s=60,
        overload=2.0,
        n_overload_steps=N_STEPS,
        is_killing=True,
    )
    found = run_fleet(options, settings.model_copy(update={"shard_size": SHARD_SIZE}), print)
    overload = found["overload"]
    classes = overload["by_class"]
    print(overload)
    assert {name: one["workloads"] for name, one in classes.items()} == {
        "gold": 6,
        "silver": 24,
        "bronze": 30,
    }
    assert overload["restarts"] >= options.n_workers == overload["workers_killed"]
    # nothing lost, nothing twice: what waited is not done, the newest of every workload is
    assert overload["after"] == {"undecided": 0, "twice": 0}
    # gold first, and the others take turns: none is left out
    least = {name: one["decided_each"]["min"] for name, one in classes.items()}
    assert least["gold"] >= max(least["silver"], least["bronze"]) >= 1
    assert min(least.values()) >= 1
    # of a shard wait a resampling, and of forecasts and decisions two origins and the deferred job
    assert max(overload["queue"]["shard_jobs"]) <= 8 * overload["shards"]
