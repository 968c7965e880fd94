"""The fence is open in the term of its pass only; an election goes on whatever happens."""

from __future__ import annotations

from typing import Any

from services.kernel import telemetry
from services.operator.leadership.leader import Elector, Record, Timing
from services.operator.leadership.lease import Fence, LeaseKeeper


class Terms:
    """Leadership that a test sets."""

    def __init__(self) -> None:
        self.now: int | None = 1

    def term(self) -> int | None:
        return self.now


def test_a_fence_is_open_in_the_term_that_was_entered_only() -> None:
    terms = Terms()
    fence = Fence(terms)
    assert not fence.is_open(), "nothing was entered"
    assert fence.enter() == 1
    assert fence.is_open()
    terms.now = None
    assert not fence.is_open()
    terms.now = 2
    assert not fence.is_open(), "it leads again, but the pass is of an earlier term"
    assert fence.enter() == 2
    fence.close()
    assert not fence.is_open()
    assert fence.enter() is None


class OddThenGood:
    """A Lease that cannot be told once: somebody wrote a word where a number belongs."""

    def __init__(self) -> None:
        self.odd = 1

    def read(self) -> tuple[Record | None, str]:
        if self.odd:
            self.odd -= 1
            raise ValueError("invalid literal for int() with base 10: 'many'")
        return None, ""

    def write(self, record: Record) -> tuple[Record | None, str]:
        return record, "1"


def test_a_defect_does_not_end_the_election() -> None:
    elector = Elector("a", Timing(15, 10.0, 2.0))
    store: Any = OddThenGood()
    keeper = LeaseKeeper(store, elector, monotonic=lambda: 100.0, cluster="eu-west")
    keeper.turn()
    assert keeper.term() is None
    keeper.turn()
    assert keeper.term() == 1


def test_a_change_is_counted_in_its_cluster() -> None:
    store: Any = OddThenGood()
    began = telemetry.leader_changes_total.labels("us-east", "began")
    before, elector = began._value.get(), Elector("a", Timing(15, 10.0, 2.0))
    keeper = LeaseKeeper(store, elector, monotonic=lambda: 100.0, cluster="us-east")
    keeper.turn()
    assert began._value.get() == before, "it does not lead yet"
    keeper.turn()
    assert began._value.get() == before + 1
