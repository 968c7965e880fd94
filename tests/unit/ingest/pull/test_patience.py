"""Whom a source is still asked for, once queries have taken too long."""

from __future__ import annotations

import pytest

from services.ingest.pull.patience import Patience
from services.ingest.series.catalog import WorkloadRef


def workload(id_: int, namespace: str = "a") -> WorkloadRef:
    return WorkloadRef(id_, namespace, f"w{id_}", 0, 60, {})


def test_a_slow_query_ends_the_asking_for_its_own_workload() -> None:
    patience = Patience()
    patience.note_answer(workload(1))
    patience.note_failure(workload(1), "timeout", "a/w1 load_rps")
    patience.note_failure(workload(1), "timeout", "a/w1 queue_requests")
    assert not patience.may_ask(workload(1))
    assert patience.may_ask(workload(2))
    assert patience.timed_out == {1: "a/w1 load_rps"}
    assert patience.answered == set()


@pytest.mark.parametrize("reason", ["unreachable", "forbidden"])
def test_a_server_that_nobody_can_reach_is_asked_nothing_more(reason: str) -> None:
    patience = Patience()
    patience.note_failure(workload(1), reason, "")
    assert patience.is_down
    assert not patience.may_ask(workload(2))
    assert (patience.timed_out, patience.answered) == ({}, set())


def test_a_wrong_query_is_an_answer() -> None:
    patience = Patience()
    patience.note_failure(workload(1), "bad_query", "")
    assert patience.may_ask(workload(1))
    assert patience.answered == {1}


def test_a_server_that_is_silent_to_several_in_a_row_is_away() -> None:
    patience = Patience()
    for id_ in (1, 2):
        patience.note_failure(workload(id_), "timeout", "")
    patience.note_answer(workload(9))
    for id_ in (3, 4):
        patience.note_failure(workload(id_), "timeout", "")
        assert not patience.is_down
    patience.note_failure(workload(5), "timeout", "")
    assert patience.is_down


def test_one_of_several_namespaces_cannot_make_the_server_away() -> None:
    patience = Patience(n_namespaces=5)
    for id_ in range(20):
        patience.note_failure(workload(id_), "timeout", "")
    assert patience.may_ask(workload(20, "b"))
    patience.note_failure(workload(20, "b"), "timeout", "")
    assert patience.is_down


def test_nobody_is_asked_for_once_the_time_is_over() -> None:
    now_s = [5.0]
    patience = Patience(monotonic=lambda: now_s[0])
    now_s[0] = 1000.0
    assert patience.may_ask(workload(1))
    patience.limit(10.0)
    now_s[0] = 1009.0
    assert patience.may_ask(workload(1))
    now_s[0] = 1010.0
    assert not patience.may_ask(workload(1))
    assert not patience.is_down
