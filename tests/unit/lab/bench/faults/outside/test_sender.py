"""The sender sends until it is accepted, and notes what it should not have been told."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from services.lab.bench.faults.fleet import make_fleet
from services.lab.bench.faults.outside.sender import POISON, OutsideSender, SendingLog
from tests.unit.lab.bench.faults.outside.answering_server import AnsweringServer

FLEET = make_fleet(3)
TAKEN: tuple[int, dict[str, str], Any] = (202, {}, {"accepted": 3, "rejected": []})
PATIENCE_S = 60.0


def until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another thread's work cannot be awaited otherwise


def test_what_is_refused_is_sent_again() -> None:
    busy = (503, {"Retry-After": "1"}, {})
    with AnsweringServer(busy, TAKEN) as server, OutsideSender(server.url, "t", FLEET) as sender:
        until(lambda: sender.log.answers[202] > 0)
    first, second = (
        [at for at, _ in body["observations"][0]["samples"]] for body in server.bodies[:2]
    )
    assert first == second[: len(first)]
    assert set(first) <= sender.log.accepted[FLEET.members[0].key]
    assert sender.log.answers[503] == 1
    assert sender.log.wrong == []


def test_an_answer_that_no_sender_should_get_is_noted() -> None:
    with (
        AnsweringServer((500, {}, {}), (503, {}, {}), TAKEN) as server,
        OutsideSender(server.url, "t", FLEET) as sender,
    ):
        until(lambda: sender.log.answers[202] > 0)
    assert [text[:3] for text in sender.log.wrong] == ["500", "503"]


def test_a_sample_that_is_rejected_is_noted() -> None:
    answer = (202, {}, {"accepted": 2, "rejected": [{"reason": "future", "count": 1}]})
    with AnsweringServer(answer) as server, OutsideSender(server.url, "t", FLEET) as sender:
        until(lambda: bool(sender.log.wrong))
    assert "future" in sender.log.wrong[0]


def test_only_the_victim_sends_poison_and_only_while_it_is_asked_for() -> None:
    with AnsweringServer(TAKEN) as server, OutsideSender(server.url, "t", FLEET) as sender:
        sender.is_poisoned = True
        until(lambda: sender.log.n_poisoned > 0)
        sender.is_poisoned = False
        n_sent = len(server.bodies)
        until(lambda: len(server.bodies) > n_sent + 1)
    *_, well, poisoned = server.bodies[n_sent - 1]["observations"]
    assert all(value > 0 for _, value in well["samples"])
    assert all(value in POISON for _, value in poisoned["samples"])
    last = server.bodies[-1]["observations"][-1]
    assert last["workload"] == FLEET.victim.name
    assert all(value not in POISON for _, value in last["samples"])


def test_a_server_that_is_away_is_waited_for() -> None:
    with AnsweringServer(TAKEN) as server:
        url = server.url
    with OutsideSender(url, "t", FLEET) as sender:
        until(lambda: True)
    assert sender.log.wrong == []
    assert not sender.log.accepted


def test_odd_ways_send_once_more_and_at_times_far_off() -> None:
    with AnsweringServer(TAKEN) as server, OutsideSender(server.url, "t", FLEET) as sender:
        sender.odd_ways |= {"twice", "wrong_times"}
        until(lambda: min(sender.log.odd["twice"], sender.log.odd["wrong_times"]) > 0)
        sender.odd_ways.clear()
    # a round is sent, then the same again, then odd times; another round may have come between
    bodies = server.bodies
    n_twice = sum(first == second for first, second in pairwise(bodies))
    assert n_twice >= 1
    odd = next(each for each in bodies if each["observations"][0]["samples"][0][0] == 0)
    times = [at for at, _ in odd["observations"][0]["samples"]]
    assert times[0] == 0
    assert max(times) > 10**11
    assert sender.log.wrong == []


def test_unknown_workloads_are_excused_only_while_their_objects_are_away() -> None:
    unknown = (202, {}, {"accepted": 0, "rejected": [{"reason": "unknown_workload", "count": 3}]})
    with AnsweringServer(unknown) as server, OutsideSender(server.url, "t", FLEET) as sender:
        sender.unknown_until_s = time.monotonic() + PATIENCE_S
        n_before = len(sender.log.wrong)
        until(lambda: sender.log.answers[202] > n_before + 1)
        n_wrong = len(sender.log.wrong)
        sender.unknown_until_s = 0.0
        until(lambda: len(sender.log.wrong) > n_wrong)
    assert n_wrong <= 1  # one may have come before it was excused
    assert not any(sender.log.accepted.values())


def test_while_its_spec_is_spoilt_only_the_victim_may_be_unknown() -> None:
    sender = OutsideSender("http://127.0.0.1:9", "t", FLEET)
    sender.spoilt_until_s = time.monotonic() + PATIENCE_S
    refused = {"reason": "unknown_workload", "count": 2, "example": f"{FLEET.victim.key} x: none"}
    assert sender._is_excused([refused], 2)
    assert not sender._is_excused([{**refused, "count": 4}], 2)
    assert not sender._is_excused([{**refused, "example": "shop/other x: none"}], 2)
    assert not sender._is_excused([{**refused, "reason": "ancient"}], 2)
    sender.spoilt_until_s = 0.0
    assert not sender._is_excused([refused], 2)


def test_what_is_held_against_the_rows_grows_no_more() -> None:
    log = SendingLog()
    log.accepted["a"].add(1)
    found = log.accepted_so_far()
    log.accepted["a"].add(2)
    log.accepted["b"].add(2)
    assert found == {"a": {1}}


@pytest.mark.parametrize(("allowed_s", "noted"), [(10 * PATIENCE_S, []), (0.0, ["422"])])
def test_a_push_of_workloads_that_are_all_unknown_is_excused_while_they_may_be(
    allowed_s: float, noted: list[str]
) -> None:
    refused = (422, {}, {"errors": [{"field": "unknown_workload", "message": "samples: 3"}]})
    with AnsweringServer(refused, TAKEN) as server:
        sender = OutsideSender(server.url, "t", FLEET)
        sender.unknown_until_s = time.monotonic() + allowed_s
        with sender:
            until(lambda: sender.log.answers[202] > 0)
    assert [text[:3] for text in sender.log.wrong] == noted
