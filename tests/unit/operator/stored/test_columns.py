"""What the cluster says is brought to what a column holds."""

from __future__ import annotations

from services.operator.stored.columns import LARGEST_COUNT, to_count, to_text


def test_counts_are_kept_up_to_the_largest() -> None:
    given = (None, 0, 8, LARGEST_COUNT, LARGEST_COUNT + 1, 10**20)
    assert [to_count(n) for n in given] == [None, 0, 8, LARGEST_COUNT, LARGEST_COUNT, LARGEST_COUNT]


def test_texts_are_cut_and_have_no_nul() -> None:
    assert to_text("by a\0da") == "by ada"
    assert to_text("x" * 2000) == "x" * 1000
    assert to_text("\0abc", 2) == "ab"
