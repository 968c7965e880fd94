"""Faults strike in their time, are tried again where they fail, and are put right."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.lab.bench.faults import conduct as module
from services.lab.bench.faults.conduct import conduct
from services.lab.bench.faults.kinds import KINDS
from services.lab.bench.faults.schedule import PlannedFault


class NotedAct:
    """Notes its steps; the first of each fails in one way or the other."""

    def __init__(self, *, is_threaded: bool, bites: bool = True) -> None:
        self.is_threaded = is_threaded
        self.steps: list[str] = []
        self._bites = bites

    def _step(self, name: str) -> bool:
        self.steps.append(name)
        if self.steps.count(name) == 1 and name != "go_on":
            raise httpx.ConnectError("not yet")
        return self.steps.count(name) > 2

    def begin(self, rig: Any) -> bool:
        return self._step("begin")

    def go_on(self, rig: Any) -> bool:
        return self._step("go_on")

    def end(self, rig: Any) -> bool:
        return self._step("end")

    def has_bitten(self, rig: Any) -> bool:
        return self._step("has_bitten") and self._bites


class IdleRig:
    """Counts the ticks."""

    n_ticks = 0

    def tick(self) -> None:
        self.n_ticks += 1


@pytest.mark.parametrize("is_threaded", [True, False])
def test_each_step_is_tried_until_it_works(
    monkeypatch: pytest.MonkeyPatch, is_threaded: bool
) -> None:
    acts = [NotedAct(is_threaded=is_threaded) for _ in range(2)]
    waiting = iter(acts)
    monkeypatch.setattr(module, "make_act", lambda planned: next(waiting))
    monkeypatch.setattr(module, "TICK_S", 0.005)
    plan = [PlannedFault(KINDS[0], 0.0, 0.1), PlannedFault(KINDS[1], 0.05, 0.1)]
    rig: Any = IdleRig()
    said: list[str] = []
    struck = conduct(rig, plan, said.append, 60.0)
    for act, one in zip(acts, struck, strict=True):
        order = list(dict.fromkeys(act.steps))
        assert order == ["begin", "go_on", "end", "has_bitten"]
        assert act.steps.count("begin") == act.steps.count("end") == 3
        assert one.has_bitten
        assert one.began_at is not None
        assert one.ended_at is not None
        assert (one.ended_at - one.began_at).total_seconds() >= 0.1
    assert rig.n_ticks > 10
    assert said[-1] == "2 of 2 faults over; in force: none"


def test_what_does_not_bite_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    act = NotedAct(is_threaded=False, bites=False)
    monkeypatch.setattr(module, "make_act", lambda planned: act)
    monkeypatch.setattr(module, "TICK_S", 0.005)
    monkeypatch.setattr(module, "_GIVEN_UP_S", 0.2)
    rig: Any = IdleRig()
    (one,) = conduct(rig, [PlannedFault(KINDS[0], 0.0, 0.0)], lambda _: None, 60.0)
    assert not one.has_bitten
    assert one.ended_at is not None


def test_a_defect_of_an_act_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(NotedAct):
        def begin(self, rig: Any) -> bool:
            raise KeyError("a defect")

    monkeypatch.setattr(module, "make_act", lambda planned: Broken(is_threaded=True))
    rig: Any = IdleRig()
    with pytest.raises(KeyError, match="a defect"):
        conduct(rig, [PlannedFault(KINDS[0], 0.0, 0.0)], lambda _: None, 60.0)
