"""Pods followed by counts, as the operator would see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.lab.arena.loop import PoolCounts
from services.lab.bench.llm_product.pods import UNTOLD, PodBook

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def started() -> PodBook:
    book = PodBook()
    book.see(PoolCounts(2), T0, T0)
    return book


def test_those_that_were_there_tell_of_no_start() -> None:
    book = started()
    assert book.take_starts(1, "H200", T0) == []
    assert book.state_row(1, 2, 6, T0) == (1, T0, 2, 2, 0, 0, [], 6, None, *UNTOLD)


def test_a_start_is_followed_until_it_is_ready() -> None:
    book = started()
    book.take_starts(1, "H200", T0)
    book.see(PoolCounts(2, 1), at(15), at(30))
    (first,) = book.take_starts(1, "H200", at(30))
    assert (first["requested_at"], first["ready_at"]) == (at(15), None)
    assert book.state_row(1, 3, 5, at(30))[4:7] == (1, 0, [15.0])
    book.see(PoolCounts(3), at(15), at(75))
    (second,) = book.take_starts(1, "H200", at(75))
    assert (second["pod_uid"], second["ready_at"]) == (first["pod_uid"], at(75))


def test_one_that_is_not_ready_goes_first() -> None:
    book = started()
    book.see(PoolCounts(2, 1), at(15), at(30))
    book.take_starts(1, "H200", at(30))
    book.see(PoolCounts(2), at(30), at(45))
    (gone,) = book.take_starts(1, "H200", at(45))
    assert (gone["ready_at"], gone["gone_at"]) == (None, at(45))
    assert len(book.pods) == 2
