"""Runs that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.loop import SERVE
from services.lab.bench.llm.keep import KeptRuns, code_digest, trace_digest, track_key
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals.capacity import WorkLaw
from tests.unit.kernel.full_disk import full_disk
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace


def track() -> RaceTrack:
    race = Race(small_trace(), 7, 60.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})
    return RaceTrack(race, cast("Any", QueueEngine()))


def test_what_is_kept_is_found_under_its_key_alone(tmp_path: Path) -> None:
    kept = KeptRuns(tmp_path / "new")
    assert kept.find({"a": 1}) is None
    kept.keep({"a": 1}, {"x": [1, 2]})
    assert kept.find({"a": 1}) == {"x": [1, 2]}
    assert kept.find({"a": 2}) is None
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_a_file_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    kept = KeptRuns(tmp_path)
    kept.keep({"a": 1}, {"x": 1})
    for path in tmp_path.iterdir():
        for cut in (b'{"key": {', b"\xff\xfe", b"[1]", b""):
            path.write_bytes(cut)
            assert kept.find({"a": 1}) is None


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(InvalidInput, match=r"\.json: cannot be written"):
        KeptRuns(tmp_path).keep({"a": 1}, {"x": "y" * 10_000})
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_memory_keeps() -> None:
    kept = KeptRuns()
    kept.keep({"a": 1}, {"x": 1})
    assert kept.find({"a": 1}) == {"x": 1}
    assert KeptRuns().find({"a": 1}) is None


def test_a_key_names_all_that_a_run_depends_on() -> None:
    one = track()
    key = track_key(one)
    others = [
        replace(one.race, seed=8),
        replace(one.race, startup_s=90.0),
        replace(one.race, router="kv_router"),
        replace(one.race, trace=small_trace(8)),
        replace(one.race, laws={SERVE: WorkLaw(1.5, 0.0, 0.0)}),
    ]
    assert all(track_key(replace(one, race=race)) != key for race in others)
    assert track_key(one, ("decider",)) != key
    assert track_key(track()) == key


def test_digests_are_of_contents() -> None:
    assert trace_digest(small_trace()) == trace_digest(small_trace())
    assert trace_digest(small_trace(history=True)) != trace_digest(small_trace())
    assert code_digest(("decider",)) != code_digest(("forecaster",))
