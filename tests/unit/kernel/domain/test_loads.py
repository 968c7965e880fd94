"""Which load binds, in words."""

from __future__ import annotations

from services.kernel.domain.loads import bound_words


def test_one_that_stands_out_is_told_alone() -> None:
    assert bound_words({"a": 0.18, "tokens": 0.82}) == "mostly bound by tokens (82 %)"


def test_where_none_does_all_that_matter_are() -> None:
    assert bound_words({"a": 0.3, "b": 0.48, "c": 0.2, "d": 0.02}) == (
        "bound by b (48 %), a (30 %), c (20 %)"
    )
    assert bound_words({"b": 0.5, "a": 0.5}) == "bound by a (50 %), b (50 %)"


def test_nothing_is_no_word() -> None:
    assert bound_words({}) == ""
