"""Two shards that plan at the same time share a budget as if one had decided after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.decide import granting, service
from services.decision.decide.replay import replay
from services.decision.rows import record
from tests.integration.decision.budget_fleet import Fleet

pytestmark = pytest.mark.integration

AT_MOST_S = 60.0
"""For what a machine under load may take; nothing waits this long but for a fault."""


class Crossed:
    """Two shards decided so that both have planned before either is granted anything."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.drafted = {0: threading.Event(), 1: threading.Event()}
        self.may_go = {0: threading.Event(), 1: threading.Event()}

    def grant(self, run: Any, groups: Any) -> Any:
        shard = 0 if "shard0" in next(iter(run.members.values())).name else 1
        self.drafted[shard].set()
        assert self.may_go[shard].wait(AT_MOST_S)
        return granting.grant_part(run, groups)

    def run(self, order: tuple[int, ...]) -> None:
        """Grant in an order; with an empty one whoever is first has the lock."""
        deps, origin = self.fleet.deps, self.fleet.origin
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(service.decide_shard, deps, shard, origin) for shard in (0, 1)]
            for drafted in self.drafted.values():
                assert drafted.wait(AT_MOST_S)
            for shard in order:
                self.may_go[shard].set()
                runs[shard].result(AT_MOST_S)
            for each in self.may_go.values():
                each.set()
            for run in runs:
                run.result(AT_MOST_S)


@contextmanager
def crossed(fleet: Fleet) -> Iterator[Crossed]:
    with pytest.MonkeyPatch.context() as patch:
        found = Crossed(fleet)
        patch.setattr(service, "grant_part", found.grant)
        yield found


def pair(fleet: Fleet, *replicas: int) -> tuple[int, int]:
    """Gold in one shard, bronze in the other."""
    gold, bronze = ({"sla": {"epsilon": 0.01, "sla_class": name}} for name in ("gold", "bronze"))
    ids = (
        fleet.add("shard0", 0, replicas[0], 100.0, **gold),
        fleet.add("shard1", 1, replicas[1], 100.0, **bronze),
    )
    for _ in range(2):  # whoever makes a partition keeps the others waiting
        fleet.decide(0, 1)
        fleet.step()
    fleet.decide(0, 1)  # after an origin that was passed over bronze waits for another run
    return ids


ORDERS = ((0, 1), (1, 0), ())


def test_budgets_hold_whoever_is_granted_first(fleet: Fleet) -> None:
    ids = pair(fleet, 8, 8)

    @given(
        gpus=st.integers(2, 60),
        levels=st.tuples(st.floats(5, 300), st.floats(5, 300)),
        order=st.sampled_from(ORDERS),
    )
    @settings(
        max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def law(gpus: int, levels: tuple[float, float], order: tuple[int, ...]) -> None:
        fleet.levels.update(zip(ids, levels, strict=True))
        held = {key: row["desired_replicas"] for key, row in fleet.decisions().items()}
        fleet.step()
        fleet.budget(gpus)
        with crossed(fleet) as both:
            both.run(order)
        found = {key: row for key, row in fleet.decisions().items() if key in ids}
        granted = {key: row["desired_replicas"] for key, row in found.items()}
        assert sum(granted.values()) <= max(gpus, sum(held.get(key, 8) for key in ids))
        for last in order[-1:]:  # it saw what the other had been granted meanwhile
            other = ids[1 - last]
            seen = found[ids[last]]["explanation"]["gpu_budget"]["held_elsewhere_gpus"]
            assert seen == max(held.get(other, 8), granted[other])
        for row in found.values():
            assert replay(fleet.deps, row["id"]).is_identical

    law()


def test_gold_gets_what_bronze_gives_up_though_both_plan_at_once(fleet: Fleet) -> None:
    gold, bronze = pair(fleet, 6, 18)
    fleet.levels.update({gold: 150.0, bronze: 150.0})
    fleet.step()
    fleet.clock.advance(1)
    fleet.observe(gold, 6)
    fleet.observe(bronze, 18)
    fleet.budget(24)
    for order in (ORDERS * 2)[:5]:
        with crossed(fleet) as both:
            both.run(order)
        found = {key: row["desired_replicas"] for key, row in fleet.decisions().items()}
        assert found[gold] + found[bronze] <= 24
        fleet.step()
        fleet.budget(24)
    assert found[gold] >= 15
    assert found[bronze] >= 1


def test_what_turns_out_as_it_was_planned_is_not_packed_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other shard takes what it was known to want, then more than that."""
    packed: list[str] = []

    def noted(*args: Any) -> Any:
        packed.append(args[1].member.name)
        return record.pack_decision(*args)

    monkeypatch.setattr(granting, "pack_decision", noted)
    ids = pair(fleet, 8, 8)
    fleet.budget(24)
    fleet.decide(0, 1)  # what each would take is known to the other
    for level, times in ((100.0, 1), (300.0, 2)):
        fleet.levels.update(dict.fromkeys(ids, level))
        fleet.step()
        fleet.budget(24)
        packed.clear()
        with crossed(fleet) as both:
            both.run((0, 1))
        assert [packed.count(name) for name in ("shard0", "shard1")] == [1, times]
