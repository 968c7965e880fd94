"""Bounds of the heap reach the C library, where it has them."""

from __future__ import annotations

import pytest

from services.operator import heap


def test_few_heaps_and_large_blocks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mallopt(M_MMAP_THRESHOLD = -3, 128 KiB)` and `mallopt(M_ARENA_MAX = -8, 2)`."""
    given: list[tuple[int, int]] = []

    def mallopt(name: int, value: int) -> int:
        given.append((name, value))
        return 1

    monkeypatch.setattr(heap, "_MALLOPT", mallopt)
    assert heap.bound_heap()
    assert given == [(-3, 131072), (-8, 2)]


@pytest.mark.parametrize("mallopt", [None, lambda name, value: 0])
def test_a_c_library_that_has_no_bounds_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, mallopt: object
) -> None:
    monkeypatch.setattr(heap, "_MALLOPT", mallopt)
    assert not heap.bound_heap()
