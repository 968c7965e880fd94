"""The election: what each may do when, and never two leaders whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings, strategies as st

from services.kernel.clock import make_rng
from services.operator.leadership.leader import Elector, Record, Timing

TIMING = Timing(duration_s=15, deadline_s=10.0, retry_s=2.0)
A = Elector("a", TIMING)
THEIRS = Record("b", 15, "t0", "t1", 3)


@pytest.mark.parametrize(
    ("duration_s", "deadline_s", "retry_s"), [(15, 15.0, 2.0), (15, 10.0, 10.0), (15, 10.0, 0.0)]
)
def test_times_in_the_wrong_order_are_refused(
    duration_s: int, deadline_s: float, retry_s: float
) -> None:
    with pytest.raises(ValueError, match="shorter than"):
        Timing(duration_s, deadline_s, retry_s)


def test_where_there_is_no_lease_the_first_one_makes_it() -> None:
    elector = A.read(None, "", 0.0)
    assert elector.next_record("now", 0.0) == Record("a", 15, "now", "now", 0)
    assert not elector.may_act(0.0)


def test_a_leader_acts_from_the_sending_of_its_renewal_until_the_deadline() -> None:
    record = Record("a", 15, "now", "now", 0)
    elector = A.read(None, "", 0.0).wrote(record, "1", sent_s=100.0, now_s=103.0)
    assert elector.may_act(109.9)
    assert not elector.may_act(110.0)
    assert elector.term == 1


def test_a_renewal_keeps_who_began_when_and_the_term() -> None:
    first = Record("a", 15, "t0", "t0", 4)
    elector = A.wrote(first, "1", 0.0, 0.0)
    wanted = elector.next_record("t1", 2.0)
    assert wanted == replace(first, renewed_at="t1")
    assert elector.wrote(wanted, "2", 2.0, 2.1).term == elector.term == 1


def test_an_answer_that_comes_after_the_deadline_begins_a_new_term() -> None:
    record = Record("a", 15, "t0", "t0", 0)
    elector = A.wrote(record, "1", 0.0, 0.0).wrote(record, "2", sent_s=9.0, now_s=11.0)
    assert elector.term == 2
    assert elector.may_act(18.9)


def test_another_holder_is_waited_for_since_the_record_last_changed() -> None:
    elector = A.read(THEIRS, "7", 100.0)
    assert elector.read(THEIRS, "7", 114.0).next_record("now", 114.9) is None
    renewed = elector.read(replace(THEIRS, renewed_at="t2"), "8", 114.0)
    assert renewed.next_record("now", 128.9) is None
    assert renewed.next_record("now", 129.0) == Record("a", 15, "now", "now", 4)


def test_times_written_by_others_are_never_compared() -> None:
    for stamp in ("1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"):
        elector = A.read(replace(THEIRS, renewed_at=stamp), "7", 0.0)
        assert elector.next_record("now", 14.9) is None
        assert elector.next_record("now", 15.0) is not None


def test_a_released_lease_is_taken_at_once() -> None:
    released = A.wrote(Record("a", 15, "t0", "t1", 3), "1", 0.0, 0.0).released("t2")
    assert released == Record("", 1, "t0", "t2", 3)
    other = Elector("b", TIMING).read(released, "2", 0.0)
    assert other.next_record("now", 0.0) == Record("b", 15, "now", "now", 4)


def test_a_leader_that_sees_another_holder_stops_at_once() -> None:
    elector = A.wrote(Record("a", 15, "t0", "t0", 0), "1", 0.0, 0.0)
    assert elector.may_act(1.0)
    assert not elector.read(THEIRS, "2", 1.0).may_act(1.0)
    assert elector.read(THEIRS, "2", 1.0).released("t") is None


def test_nothing_is_released_by_one_who_does_not_know_what_the_lease_says() -> None:
    elector = A.wrote(Record("a", 15, "t0", "t0", 0), "1", 0.0, 0.0)
    assert elector.failed().released("t") is None
    assert not elector.stopped().may_act(0.1)


@dataclass
class Server:
    """A Lease with its preconditions."""

    record: Record | None = None
    version: int = 0

    def write(self, record: Record, expected: str) -> str | None:
        found = "" if self.record is None else str(self.version)
        if found != expected:
            return None
        self.record, self.version = record, self.version + 1
        return str(self.version)


@dataclass
class Process:
    """An operator whose clock has a rate of its own, with at most one write on its way."""

    elector: Elector
    rate: float
    offset_s: float
    sent: tuple[Record, str, float] | None = None
    answer: tuple[Record, str, float] | None = None

    def local_s(self, at_s: float) -> float:
        return self.offset_s + self.rate * at_s


STEPS = ("read", "send", "land", "land and lose", "drop", "answer", "release", "resign")
PAUSES_S = (0.0, 0.0, 0.1, 2.0, 4.0, 6.0, 9.0, 12.0, 16.0)
N_STEPS = 150
P_TURN = 0.5
"""A whole turn is as likely as all of its parts together, or hardly anyone would ever lead."""


def take_step(process: Process, server: Server, step: str, at_s: float) -> None:
    now_s, elector = process.local_s(at_s), process.elector
    if step == "turn":
        if not elector.is_read or elector.sent_s is None:
            take_step(process, server, "read", at_s)
        for part in ("send", "land", "answer"):
            take_step(process, server, part, at_s)
    elif step == "read":
        process.elector = elector.read(server.record, str(server.version or ""), now_s)
    elif step == "send" and elector.is_read and process.sent is None and process.answer is None:
        record = elector.next_record(f"{at_s}", now_s)
        if record is not None:
            version = "" if elector.seen is None else elector.seen.version
            process.sent = (record, version, now_s)
    elif step in ("land", "land and lose") and process.sent is not None:
        record, expected, sent_s = process.sent
        process.sent = None
        landed = server.write(record, expected)
        if landed is None or step == "land and lose":
            process.elector = elector.failed()
        else:
            process.answer = (record, landed, sent_s)
    elif step == "drop" and process.sent is not None:
        process.sent = None
        process.elector = elector.failed()
    elif step == "answer" and process.answer is not None:
        record, version, sent_s = process.answer
        process.answer = None
        process.elector = elector.wrote(record, version, sent_s, now_s)
    elif step == "release" and process.sent is None and process.answer is None:
        record = elector.released(f"{at_s}")
        process.elector = elector.stopped().failed()
        if record is not None and elector.seen is not None:
            server.write(record, elector.seen.version)
    elif step == "resign":
        process.elector = elector.resigned(now_s)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_there_are_never_two_leaders(seed: int) -> None:
    """Rates of 0.85 and 1.15 are further apart than any clocks, and 15 / 10 still covers them."""
    rng = make_rng(seed, "election")
    server = Server()
    processes = [
        Process(Elector(name, TIMING), rng.uniform(0.85, 1.15), rng.uniform(-1e6, 1e6))
        for name in "abc"
    ]
    at_s = 0.0
    for _ in range(N_STEPS):
        at_s += float(rng.choice(PAUSES_S))
        step = "turn" if rng.random() < P_TURN else str(rng.choice(STEPS))
        who = processes[rng.integers(len(processes))]
        take_step(who, server, step, at_s)
        leading = [p.elector.identity for p in processes if p.elector.may_act(p.local_s(at_s))]
        assert len(leading) <= 1, f"{leading} at {at_s} after {step} of {who.elector.identity}"


def test_the_check_bites_where_clocks_run_at_insane_rates() -> None:
    """A clock at half speed acts for twice as long: then there are two, and the check sees it."""
    server, slow, fast = (
        Server(),
        Process(Elector("a", TIMING), 0.5, 0.0),
        Process(Elector("b", TIMING), 1.0, 0.0),
    )
    for process, step, at_s in (
        (slow, "read", 0.0),
        (slow, "send", 0.0),
        (slow, "land", 0.0),
        (slow, "answer", 0.0),
        (fast, "read", 0.1),
        (fast, "send", 16.0),
        (fast, "land", 16.0),
        (fast, "answer", 16.0),
    ):
        take_step(process, server, step, at_s)
    assert slow.elector.may_act(slow.local_s(16.0))
    assert fast.elector.may_act(fast.local_s(16.0))
