"""The fence is open in the term of its pass only."""

from __future__ import annotations

from services.operator.leadership.lease import Fence


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
