"""Machines of a pool: as many as pods need, as its limit and its provider allow."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from services.lab.cluster.nodes.machines import NOTICE_S, RETRY_S, Machines, WaitingPod
from services.lab.cluster.nodes.pools import NodePoolSpec
from services.simulator.engine.engine import NodeSpec, StartupSpec
from services.simulator.engine.needs import NO_NEEDS

POOL = NodePoolSpec("hopper", NodeSpec("node", "H100", 8), 4, StartupSpec(60.0))


def pods(n: int, gpus: int = 4, gpu_type: str = "H100") -> list[WaitingPod]:
    return [WaitingPod(gpu_type, gpus, NO_NEEDS)] * n


def names(machines: Machines) -> list[str]:
    return [machine.name for machine in machines.all]


def test_as_many_machines_as_the_pods_need_and_no_more() -> None:
    machines = Machines(POOL, 7)
    assert machines.plan(pods(3), 0.0) == []
    assert names(machines) == ["hopper-0000", "hopper-0001"]
    assert machines.plan(pods(4), 10.0) == []
    assert len(machines.all) == 2


def test_pods_that_its_nodes_would_not_take_are_left_to_others() -> None:
    machines = Machines(POOL, 7)
    others = [*pods(1, gpu_type="L4"), *pods(1, gpus=16)]
    assert machines.plan([*others, *pods(1)], 0.0) == others
    assert len(machines.all) == 1


def test_a_pool_keeps_its_limit() -> None:
    machines = Machines(POOL, 7)
    assert len(machines.plan(pods(6, gpus=8), 0.0)) == 2
    assert len(machines.all) == 4
    assert machines.refused_s is None


def test_machines_come_after_their_start_up() -> None:
    machines = Machines(POOL, 7)
    machines.plan(pods(1), 0.0)
    assert machines.due(59.0) == []
    assert [machine.name for machine in machines.due(60.0)] == ["hopper-0000"]


def test_a_provider_without_capacity_refuses_and_is_asked_again_later() -> None:
    machines = Machines(replace(POOL, capacity=1), 7)
    assert len(machines.plan(pods(3, gpus=8), 0.0)) == 2
    assert (machines.refused_s, machines.backed_off_s) == (0.0, 0.0)
    machines.plan(pods(3, gpus=8), RETRY_S - 1)
    assert machines.refused_s == 0.0
    machines.plan(pods(3, gpus=8), RETRY_S)
    assert (machines.refused_s, machines.backed_off_s) == (RETRY_S, 0.0)
    machines.pool = replace(POOL, capacity=3)
    machines.plan(pods(3, gpus=8), 2 * RETRY_S)
    assert machines.refused_s is None
    assert len(machines.all) == 3


def test_a_refusal_ends_when_nobody_waits() -> None:
    machines = Machines(replace(POOL, capacity=0), 7)
    machines.plan(pods(1), 0.0)
    assert machines.refused_s == 0.0
    machines.plan([], 10.0)
    assert machines.refused_s is None


def test_an_empty_machine_goes_after_its_time_but_for_the_least_of_them() -> None:
    machines = Machines(replace(POOL, empty_after_s=30.0, least_nodes=1), 7)
    machines.plan(pods(3, gpus=8), 0.0)
    for machine in machines.due(60.0):
        machine.is_there = True
    assert machines.idle(["hopper-0000"], 70.0) == []
    assert names_of(machines.idle(["hopper-0000"], 99.0)) == []
    assert names_of(machines.idle(["hopper-0000"], 100.0)) == ["hopper-0001", "hopper-0002"]
    assert names_of(machines.idle([], 200.0)) == ["hopper-0001", "hopper-0002"]
    assert Machines(replace(POOL, empty_after_s=None), 7).idle([], 1e6) == []


def names_of(found: list[object]) -> list[str]:
    return [machine.name for machine in found]  # type: ignore[attr-defined]


def test_the_least_are_there_whatever_is_asked() -> None:
    machines = Machines(replace(POOL, least_nodes=2), 7)
    machines.keep_least(0.0)
    assert len(machines.all) == 2


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(0, 6), st.integers(0, 6))
def test_neither_limit_nor_capacity_is_ever_exceeded(
    waiting: list[int], most: int, capacity: int
) -> None:
    machines = Machines(replace(POOL, most_nodes=most, capacity=capacity), 7)
    for at, n in enumerate(waiting):
        machines.plan(pods(n), 100.0 * at)
        assert len(machines.all) <= min(most, capacity)


def test_machines_are_interrupted_two_minutes_after_it_is_told() -> None:
    machines = Machines(replace(POOL, interruptions=2.0), 7)
    machines.plan(pods(1), 0.0)
    (machine,) = machines.due(60.0)
    machine.is_there = True
    assert 60.0 < machine.goes_s < 60.0 + 12 * 3600.0
    told_s = machine.goes_s - NOTICE_S
    assert machines.next_s(60.0) == told_s
    assert machines.told(told_s - 1.0) == []
    assert machines.told(told_s) == [machine]
    machine.is_told = True
    assert machines.told(told_s) == []
    assert machines.next_s(told_s) == machine.goes_s
    assert machines.interrupted(machine.goes_s - 1.0) == []
    assert machines.interrupted(machine.goes_s) == [machine]


def test_lives_follow_the_rate_and_the_seed() -> None:
    def lives(seed: int) -> list[float]:
        machines = Machines(replace(POOL, most_nodes=400, interruptions=2.0), seed)
        machines.plan(pods(400, gpus=8), 0.0)
        return [machine.goes_s - machine.due_s for machine in machines.all]

    assert lives(7) == lives(7)
    assert lives(7) != lives(8)
    assert 0.8 * 1800.0 < sum(lives(7)) / 400 < 1.2 * 1800.0


def test_machines_on_demand_are_never_interrupted() -> None:
    machines = Machines(POOL, 7)
    machines.plan(pods(1), 0.0)
    (machine,) = machines.due(60.0)
    machine.is_there = True
    assert machines.told(1e9) == machines.interrupted(1e9) == []
    assert machines.next_s(60.0) == float("inf")
