"""The Planner inside the engine's process: what it is told, what is kept of its decisions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from services.lab.arena.replay_planner import loop_planner
from tests.unit.lab.arena.fake_replay import REPORT, asked, install, loop_of


@dataclass
class Counts:
    ready_num_prefill: int | None = None
    ready_num_decode: int | None = 0
    expected_num_prefill: int | None = None
    expected_num_decode: int | None = 1
    prefill_scaling_in_progress: bool = False
    decode_scaling_in_progress: bool = False
    pending_num_prefill: int = 0
    pending_num_decode: int = 0


@dataclass
class Input:
    worker_counts: Counts | None


class Adapter:
    """The Planner's adapter: asks for three workers, once; keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Input] = []
        self.counts: Counts | None = Counts()
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []

    def _build_tick_input(self, tick: object, report: dict[str, Any]) -> Input:
        return Input(self.counts)

    def initial_tick_ms(self) -> float:
        return 5000.0

    def on_tick(self, report: dict[str, Any]) -> dict[str, Any]:
        self.given.append(self._build_tick_input(None, report))
        target = 3 if len(self.given) == 1 else None
        return {"target_prefill": None, "target_decode": target, "next_tick_ms": 10_000.0}


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """Stand-ins of the engine and of the Planner."""
    install(monkeypatch)
    adapter = Adapter()

    @contextmanager
    def planner_replay_adapter(**options: Any) -> Iterator[Adapter]:
        adapter.config = json.loads(options["planner_config_arg"])
        path = adapter.config.get("load_predictor_warmup_trace")
        if path:
            adapter.history = [json.loads(line) for line in Path(path).read_text().splitlines()]
        yield adapter

    modules: dict[str, dict[str, Any]] = {
        "dynamo.replay.planner": {"planner_replay_adapter": planner_replay_adapter},
        "dynamo.planner": {},
        "dynamo.planner.config": {},
        "dynamo.planner.config.planner_config": {
            "PlannerConfig": SimpleNamespace(model_fields=["ttft_ms"])
        },
    }
    for name, found in modules.items():
        module = ModuleType(name)
        module.__dict__.update(found)
        monkeypatch.setitem(sys.modules, name, module)
    return adapter


def looped(is_told: bool = False, history: Any = None, **config: Any) -> dict[str, Any]:
    planner = {"config": config, "starting_told": is_told, "history": history}
    return loop_planner({"serve": {}}, loop_of((500.0, 600, 1), (700.0, 700, 9), planner=planner))


def test_what_it_asks_for_is_kept_on_the_clock_of_the_requests(adapter: Adapter) -> None:
    answer = looped(ttft_ms=500.0)
    assert answer["decided"] == [{"at_ms": 5500.0, "counts": {"serve": 3}}]
    assert answer["ended_ms"] == 9500.0
    assert adapter.config == {"ttft_ms": 500.0}
    assert adapter.given[0].worker_counts == Counts()


def test_its_predictor_gets_the_history(adapter: Adapter) -> None:
    looped(history=asked((0.0, 10, 2), (60_000.0, 20, 3)))
    assert [line["timestamp"] for line in adapter.history] == [0.0, 60_000.0]


def test_it_may_be_told_what_starts_and_drains(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {**REPORT, "draining_decode_count": 0, "draining_prefill_count": 0}
    monkeypatch.setattr("tests.unit.lab.arena.fake_replay.REPORT", report)
    looped(is_told=True)
    counts = adapter.given[0].worker_counts
    assert counts is not None
    assert counts.pending_num_decode == 1
    assert counts.decode_scaling_in_progress
    assert counts.expected_num_decode is None


@pytest.mark.usefixtures("adapter")
def test_with_workers_draining_nothing_counts_as_pending(adapter: Adapter) -> None:
    looped(is_told=True)
    counts = adapter.given[0].worker_counts
    assert counts is not None
    assert (counts.pending_num_decode, counts.decode_scaling_in_progress) == (0, True)


@pytest.mark.usefixtures("adapter")
def test_a_setting_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="the Planner has no setting nonsense"):
        looped(nonsense=1)
