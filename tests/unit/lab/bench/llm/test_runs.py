"""Runs of policies on a stand-in engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.loop import SERVE
from services.lab.bench.llm.families import N_SETTINGS
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm.runs import RaceRunner
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace


def runner(engine: QueueEngine, folder: Path | None = None) -> RaceRunner:
    race = Race(small_trace(), 7, 30.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})
    return RaceRunner(RaceTrack(race, cast("Any", engine)), KeptRuns(folder), lambda _text: None)


def test_what_was_kept_is_not_run_again(tmp_path: Path) -> None:
    engine = QueueEngine()
    first = runner(engine, tmp_path).run("trail")
    assert engine.n_loops == N_SETTINGS == len(first)
    again = runner(engine, tmp_path).run("trail")
    assert engine.n_loops == N_SETTINGS
    assert [m.part(5, 12) for _, m in first] == [m.part(5, 12) for _, m in again]


def test_the_oracle_needs_no_more_than_any_rival() -> None:
    one = runner(QueueEngine())
    oracle = {goal: minutes.part(6, 11) for goal, minutes in one.run("oracle")}
    rivals = [
        minutes.part(6, 11) for name in ("trail", "fixed", "keda") for _, minutes in one.run(name)
    ]
    reached = [goal for goal, score in oracle.items() if score.goodput >= goal]
    assert len(reached) >= N_SETTINGS - 1
    for goal in reached:
        least = min(score.gpu_hours for score in rivals if score.goodput >= goal)
        assert oracle[goal].gpu_hours <= 1.1 * least


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(InvalidInput, match="--policies=best: must be of harmony"):
        runner(QueueEngine()).run("best")
