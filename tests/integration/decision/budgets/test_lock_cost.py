"""How much of a shard's decisions is made under the lock of its GPU type.

`python -m pytest -q -s tests/integration/decision/budgets/test_lock_cost.py` prints the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from services.decision.budgets import budgets
from services.decision.decide import service
from services.kernel.settings import Settings
from tests.integration.cpu_meter import CpuMeter
from tests.integration.decision.budget_fleet import Fleet

pytestmark = [pytest.mark.integration, pytest.mark.slow]

N_WORKLOADS, N_SHARDS, N_CYCLES = 512, 2, 4
SCARCE_GPUS = 9 * N_WORKLOADS
"""They ask for 11 or 12 each."""
MOST = 0.3
"""Share of the decisions' CPU time that may be spent under the lock; it was 0.43 when plans were
made under it."""


@contextmanager
def locked(engine: Engine, meter: CpuMeter) -> Iterator[None]:
    """Count as stage `locked` what is done from the moment a lock is held until it is given up."""
    taken, open_stages = budgets.repository.lock_budgets, []

    def lock(*args: Any) -> None:
        taken(*args)
        if not open_stages:
            open_stages.append(meter.stage("locked"))
            open_stages[0].__enter__()

    def end(_: Any) -> None:
        if open_stages:
            open_stages.pop().__exit__(None, None, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets.repository, "lock_budgets", lock)
        event.listen(engine, "commit", end)
        try:
            yield
        finally:
            event.remove(engine, "commit", end)


def test_most_of_a_decision_is_made_without_the_lock(database: Engine, settings: Settings) -> None:
    fleet = Fleet(database, settings)
    for number in range(N_WORKLOADS):
        fleet.add(f"w{number}", number % N_SHARDS, replicas=5, level=100.0)
    shares = {}
    for name, gpus in (("enough", 100 * N_WORKLOADS), ("scarce", SCARCE_GPUS)):
        fleet.budget(gpus)
        fleet.decide(*range(N_SHARDS))  # what is made once
        cycles = []
        for _ in range(N_CYCLES):
            fleet.step()
            fleet.budget(gpus)
            meter = CpuMeter(database)
            with locked(database, meter), meter.stage("decide"):
                for shard in range(N_SHARDS):
                    service.decide_shard(fleet.deps, shard, fleet.origin)
            cycles.append({stage: 1e6 * s / N_WORKLOADS for stage, s in meter.spent.items()})
        # what else the machine does only adds: a fault would show in each cycle
        ms = min(cycles, key=lambda one: one["locked"] / one["decide"])
        shares[name] = ms["locked"] / ms["decide"]
        print(
            f"\n{name} GPUs: {ms['locked']:.0f} of {ms['decide']:.0f} CPU-ms for 1,000 decisions "
            f"under the lock, {shares[name]:.0%}"
        )
    assert max(shares.values()) <= MOST
