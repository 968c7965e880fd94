"""Pods that a process has seen, and the bucket edges that it keeps of each."""

from __future__ import annotations

from hypothesis import given, strategies as st

from services.ingest.series.pod_memory import PodKey, PodMemory

KEY = PodKey(1, "sli_ttft", 7, 0.5)
INF = float("inf")
EDGES = (0.1, 0.25, 0.5, 0.75, 1.0)


def test_a_pod_is_unknown_until_it_was_seen() -> None:
    memory = PodMemory()
    assert memory.unknown([KEY]) == {KEY}
    memory.useful_edges(KEY, [INF])
    assert memory.unknown([KEY]) == set()
    assert memory.unknown([KEY._replace(threshold_s=0.6)]) != set()


def test_of_a_threshold_on_an_edge_one_bucket_and_all_are_kept() -> None:
    assert PodMemory().useful_edges(KEY, [*EDGES, INF]) == {0.5, INF}


def test_between_two_edges_both_are_kept() -> None:
    key = KEY._replace(threshold_s=0.6)
    assert PodMemory().useful_edges(key, [*EDGES, INF]) == {0.5, 0.75, INF}
    assert PodMemory().useful_edges(KEY._replace(threshold_s=3.0), [*EDGES, INF]) == {1.0, INF}


def test_a_counter_without_buckets_is_kept() -> None:
    assert PodMemory().useful_edges(KEY._replace(threshold_s=None), [INF]) == {INF}


@given(st.permutations([*EDGES, INF]), st.integers(1, 6), st.floats(0.05, 2.0))
def test_in_whatever_pieces_they_come_the_nearest_are_kept(
    edges: list[float], size: int, threshold_s: float
) -> None:
    key, memory = KEY._replace(threshold_s=threshold_s), PodMemory()
    kept: set[float] = set()
    for start in range(0, len(edges), size):
        kept |= memory.useful_edges(key, edges[start : start + size])
    assert PodMemory().useful_edges(key, edges) <= kept
    assert memory.useful_edges(key, edges) == PodMemory().useful_edges(key, edges)


def test_those_longest_without_a_sample_are_forgotten() -> None:
    memory = PodMemory(max_entries=2)
    keys = [KEY._replace(pod=pod) for pod in (1, 2, 3)]
    for key in (keys[0], keys[1], keys[0], keys[2]):
        memory.useful_edges(key, [INF])
    assert memory.unknown(keys) == {keys[1]}
