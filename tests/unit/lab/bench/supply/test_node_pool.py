"""A pool asks for what is needed, is refused in an outage, and lets go of what nobody needs."""

from __future__ import annotations

from dataclasses import replace

from services.lab.bench.supply.node_pool import SupplyPool
from services.lab.bench.supply.nodes import NO_TIME, Replica, Reserve
from tests.unit.lab.bench.supply.small import RULES, luck


def waiting(*gpus: int) -> list[Replica]:
    return [Replica(0, n, 0.0) for n in gpus]


def test_nodes_are_asked_for_as_replicas_fit_on_them() -> None:
    pool = SupplyPool(RULES, luck())
    asked = pool.ask(waiting(4, 4, 4), 0.0)
    assert [node.there_s for node in asked] == [120.0, 120.0]
    assert pool.ask(waiting(4, 4, 4), 10.0) == []  # they are on their way


def test_a_pool_never_has_more_nodes_than_its_limit() -> None:
    pool = SupplyPool(replace(RULES, most_nodes=2), luck())
    assert len(pool.ask(waiting(*[8] * 5), 0.0)) == 2
    assert len(pool.nodes) == 2


def test_after_a_refusal_nothing_is_asked_for_three_minutes() -> None:
    pool = SupplyPool(RULES, luck(outages=((0.0, 60.0),)))
    assert pool.ask(waiting(1), 10.0) == []
    assert (pool.n_refused, pool.refused_s) == (1, 10.0)
    assert pool.ask(waiting(1), 100.0) == []
    assert pool.n_refused == 1
    assert len(pool.ask(waiting(1), 190.0)) == 1


def test_an_empty_node_goes_after_a_while() -> None:
    pool = SupplyPool(RULES, luck())
    node = pool.add_ready(0.0)
    assert pool.let_go(100.0) == 160.0
    assert pool.nodes == [node]
    assert pool.let_go(160.0) == NO_TIME
    assert pool.nodes == []


def test_a_node_that_is_needed_in_between_stays_as_long_again() -> None:
    pool = SupplyPool(RULES, luck())
    node = pool.add_ready(0.0)
    pool.let_go(100.0)
    node.n_replicas = 1
    pool.let_go(120.0)
    node.n_replicas = 0
    assert pool.let_go(160.0) == 220.0


def test_a_reserve_asks_for_nodes_and_keeps_them() -> None:
    pool = SupplyPool(RULES, luck())
    pool.reserve = Reserve(2, 8)
    asked = pool.ask([], 0.0)
    assert len(asked) == 2
    for node in asked:
        node.is_there = True
    assert pool.let_go(1000.0) == NO_TIME
    assert pool.let_go(2000.0) == NO_TIME
    assert len(pool.nodes) == 2
    pool.reserve = Reserve(1, 8)
    pool.let_go(2000.0)
    pool.let_go(2060.0)
    assert len(pool.nodes) == 1


def test_a_reserve_of_single_gpus_is_on_nodes_that_are_in_use() -> None:
    pool = SupplyPool(RULES, luck())
    node = pool.add_ready(0.0)
    node.free_gpus, node.n_replicas = 5, 1
    pool.reserve = Reserve(5, 1)
    assert pool.ask([], 0.0) == []
    pool.reserve = Reserve(6, 1)
    assert len(pool.ask([], 0.0)) == 1


def test_an_interruption_is_of_a_node_that_is_there() -> None:
    pool = SupplyPool(RULES, luck())
    assert pool.interrupt(0.5, 100.0) is None
    first, second = pool.add_ready(0.0), pool.add_ready(0.0)
    assert pool.interrupt(0.99, 100.0) is second
    assert pool.interrupt(0.99, 100.0) is first  # the other one is announced already
    assert not second.is_open
    pool.lose(second)
    assert pool.nodes == [first]
