"""Services on nodes: what happens when, and what is conserved whatever is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.lab.bench.supply.cluster import COLD_RATIO, SupplyCluster
from services.lab.bench.supply.luck import NOTICE_S
from services.lab.bench.supply.nodes import Reserve
from tests.unit.lab.bench.supply.small import RULES, SERVICES, cluster, luck


def check_books(found: SupplyCluster) -> None:
    """GPUs, replicas and nodes add up."""
    for service, own in enumerate(found.replicas):
        assert len(own) == found.spec[service]
        assert found.ready[service] == sum(each.is_ready for each in own)
    every = [each for own in found.replicas for each in own]
    for node in found.pool.nodes:
        on_it = [each for each in every if each.node is node]
        assert node.free_gpus + sum(each.gpus for each in on_it) == RULES.gpus_per_node
        assert node.free_gpus >= 0
        assert node.n_replicas == len(on_it)
        assert node.is_there or not on_it
    placed = [each for each in every if each.node is not None]
    assert all(each.node in found.pool.nodes for each in placed)
    assert len(found.waiting) == len(every) - len(placed)
    assert len(found.pool.nodes) <= found.pool.rules.most_nodes
    for each in found.waiting:
        assert found.free_gpus(each.gpus) == 0  # nobody waits beside free GPUs


ASKED = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 8), st.integers(0, 12), st.floats(1.0, 400.0)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ASKED, st.lists(st.floats(0.0, 2000.0), max_size=4), st.booleans())
def test_gpus_replicas_and_time_are_conserved(
    asked: list[tuple[int, int, int, float]], notices: list[float], is_out: bool
) -> None:
    outages = ((300.0, 900.0),) if is_out else ()
    found = cluster(given=luck(outages=outages, notices=tuple(sorted(notices))))
    check_books(found)
    for one, two, reserved, length_s in asked:
        before = [len(own) for own in found.replicas]
        made = found.scale([one, two])
        assert len(made) == max(0, one - before[0]) + max(0, two - before[1])
        found.hold(Reserve(reserved))
        check_books(found)
        found.advance(found.now_s + length_s)
        check_books(found)
    figures = found.ledger.figures()
    hours = min(found.now_s, 3600.0) / 3600.0
    assert 0.0 <= figures.rate <= 1.0 or np.isnan(figures.rate)
    gpu_hours = 8.0 * figures.node_hours
    assert figures.replica_hours <= gpu_hours + 1e-9  # a replica that serves is on a node
    assert figures.node_hours <= RULES.most_nodes * hours + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1.0, 500.0), min_size=1, max_size=8))
def test_in_how_many_pieces_time_goes_by_does_not_matter(pieces: list[float]) -> None:
    whole, cut = cluster(n_steps=200), cluster(n_steps=200)
    for each in (whole, cut):
        each.scale([10, 4])
    whole.advance(sum(pieces))
    for length_s in pieces:
        cut.advance(cut.now_s + length_s)
    assert cut.now_s == pytest.approx(whole.now_s)
    assert cut.ready.tolist() == whole.ready.tolist()
    assert cut.ledger.figures().node_hours == pytest.approx(whole.ledger.figures().node_hours)


def test_a_replica_without_room_waits_for_the_node_and_then_pulls_its_image() -> None:
    found = cluster()
    found.scale([6, 1])  # 4 GPUs of 8 are in use
    found.advance(30.0)
    assert found.ready[0] == 6
    found.scale([10, 1])  # the node is full
    assert len(found.waiting) == 4
    found.advance(30.0 + 10.0 + 120.0 + COLD_RATIO * 30.0)
    assert found.ready[0] == 10
    late = [each for each in found.starts[0] if each.is_new_node]
    assert len(late) == 4
    assert not any(each.has_image for each in late)
    assert late[0].ready_s - late[0].bound_s == pytest.approx(COLD_RATIO * 30.0)


def test_a_node_that_is_no_longer_needed_goes() -> None:
    found = cluster((2, 6))
    assert len(found.pool.nodes) == 2
    found.scale([0, 1])
    found.advance(300.0)
    assert len(found.pool.nodes) == 1
    assert found.ready.tolist() == [0.0, 1.0]


def test_an_interruption_takes_the_replicas_two_minutes_later_and_they_are_made_anew() -> None:
    found = cluster((2, 1), given=luck(notices=(100.0,)))
    found.advance(100.0 + NOTICE_S - 1.0)
    assert found.ready.tolist() == [2.0, 1.0]
    assert found.free_gpus(1) == 0  # nothing is placed on it any more
    found.advance(100.0 + NOTICE_S)
    assert found.ready.tolist() == [0.0, 0.0]
    assert [len(own) for own in found.replicas] == [2, 1]
    found.advance(100.0 + NOTICE_S + 10.0 + 120.0 + COLD_RATIO * 30.0)
    assert found.ready.tolist() == [2.0, 1.0]


def test_with_a_reserve_a_start_waits_for_no_node() -> None:
    plain, held = cluster((8, 0)), cluster((8, 0))
    held.hold(Reserve(1, 8))
    for each in (plain, held):
        each.advance(300.0)
        each.scale([12, 0])
        each.advance(300.0 + COLD_RATIO * 30.0)
    assert plain.ready[0] == 8
    assert held.ready[0] == 12


def test_after_an_outage_the_node_is_asked_for_again() -> None:
    found = cluster(given=luck(outages=((0.0, 100.0),)))
    found.scale([9, 1])
    found.advance(150.0)
    assert len(found.pool.nodes) == 1
    assert found.pool.n_refused == 1
    found.advance(190.0 + 120.0)
    assert len(found.pool.nodes) == 2


def test_a_scaling_in_takes_what_waits_first_then_what_starts_then_the_emptiest_node() -> None:
    found = cluster((8, 1))
    found.scale([11, 1])
    assert len(found.waiting) == 0
    found.scale([18, 1])
    waits = len(found.waiting)
    assert waits > 0
    found.scale([18 - waits, 1])
    assert len(found.waiting) == 0
    assert found.ready[0] == 8
    found.scale([8, 1])
    assert found.ready[0] == 8
    found.advance(60.0)
    by_node = {node.ordinal: node.free_gpus for node in found.pool.nodes}
    emptiest = max(by_node, key=lambda ordinal: by_node[ordinal])
    on_it = sum(each.node.ordinal == emptiest for each in found.replicas[0] if each.node)
    found.scale([7, 1])
    left = sum(each.node.ordinal == emptiest for each in found.replicas[0] if each.node)
    assert left == max(0, on_it - 1)


def test_a_pool_that_is_full_makes_replicas_wait() -> None:
    found = cluster((2, 1), rules=replace(RULES, most_nodes=1))
    found.scale([20, 1])
    found.advance(1000.0)
    assert found.ready[0] == 6
    assert len(found.waiting) == 14


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 0"):
        cluster().scale([-1, 0])


def test_images_tell_where_a_start_is_warm() -> None:
    found = cluster((1, 0))
    assert found.free_gpus(1) == found.free_gpus(1, 0) == 7
    assert found.free_gpus(2, 1) == 0
    assert len(found.services) == len(SERVICES)


def test_who_is_told_of_an_interruption_hears_of_it_at_the_next_pass() -> None:
    told: list[float] = []
    made = cluster(given=luck(notices=(62.0,)))
    made.on_notice = lambda: told.append(made.now_s)
    made.advance(300.0)
    assert told == [75.0]
