"""The kinds of fault, and that each can be done."""

from __future__ import annotations

from services.lab.bench.faults.kinds import KINDS, PROCESSES


def test_there_are_many_kinds_each_with_its_own_name() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 25


def test_every_process_is_killed_and_paused() -> None:
    for act in ("kill", "pause"):
        targets = {kind.target for kind in KINDS if kind.act == act}
        assert targets >= {*PROCESSES, "postgres", "valkey"}


def test_a_kind_lasts_as_long_as_it_may() -> None:
    assert all(0 <= kind.shortest_s <= kind.longest_s for kind in KINDS)
