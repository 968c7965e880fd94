"""Where a replica goes, and on which nodes a reserve has room."""

from __future__ import annotations

from hypothesis import given, strategies as st

from services.lab.bench.supply.nodes import NO_TIME, Node, Replica, Reserve, held_by, tightest


def node(ordinal: int, free: int, *, is_there: bool = True, lost_s: float = NO_TIME) -> Node:
    return Node(ordinal, 0.0, 0.0, free, is_there, lost_s)


FREE = st.lists(st.integers(0, 8), max_size=10)


def test_a_replica_goes_to_the_fullest_node_that_holds_it() -> None:
    nodes = [node(0, 8), node(1, 3), node(2, 1), node(3, 3)]
    assert tightest(nodes, 2) is nodes[1]
    assert tightest(nodes, 8) is nodes[0]
    assert tightest(nodes, 9) is None


def test_nothing_is_placed_on_a_node_that_is_not_there_or_is_announced_to_go() -> None:
    assert tightest([node(0, 8, is_there=False), node(1, 8, lost_s=300.0)], 1) is None
    assert held_by([node(0, 8, is_there=False), node(1, 8, lost_s=300.0)], Reserve(1, 8))[1] == 1


@given(FREE, st.integers(0, 12), st.integers(1, 8))
def test_what_a_reserve_lacks_is_what_the_nodes_have_no_room_for(
    free: list[int], n_chunks: int, chunk: int
) -> None:
    nodes = [node(i, n) for i, n in enumerate(free)]
    held, left = held_by(nodes, Reserve(n_chunks, chunk))
    rooms = sum(n // chunk for n in free)
    assert left == max(0, n_chunks - rooms)
    inside = sum(free[i] // chunk for i in held)
    assert n_chunks - left <= inside
    # the fullest first: an empty node is held only where fuller ones do not suffice
    fuller = [i for i in range(len(free)) if i not in held and free[i] >= chunk]
    assert all(free[i] >= free[j] for i in fuller for j in held)


def test_a_replica_says_how_far_it_is() -> None:
    replica = Replica(0, 1, 0.0)
    assert not replica.is_ready
    assert not replica.is_gone
    replica.ready_s = 5.0
    assert replica.is_ready
