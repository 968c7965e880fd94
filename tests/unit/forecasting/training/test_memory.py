"""After a fit, memory goes back to the system."""

from __future__ import annotations

import weakref

import pytest

from services.forecasting.training import memory


class Knot:
    """An object that holds itself: only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_what_only_the_collector_frees_is_freed_before_pages_are_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    knot = weakref.ref(Knot())
    returned: list[tuple[int, bool]] = []
    monkeypatch.setattr(memory, "_TRIM", lambda pad: returned.append((pad, knot() is None)))
    memory.release_memory()
    assert returned == [(0, True)]


def test_a_system_without_a_way_to_return_pages_still_collects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_TRIM", None)
    knot = weakref.ref(Knot())
    memory.release_memory()
    assert knot() is None
