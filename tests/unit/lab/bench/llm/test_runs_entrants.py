"""Harmony and the Planner in the race: which capacity they are told, and by which setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.kernel.errors import InvalidInput
from services.kernel.jobs import DECIDE_SHARD, INGEST_RESAMPLE
from services.lab.arena.loop import SERVE, LoopResult, LoopSetup
from services.lab.arena.planner_setup import PlannerSetup
from services.lab.arena.requests import RequestList
from services.lab.bench.llm import runs
from services.lab.bench.llm.entrants import SLO_SCALES
from services.lab.bench.llm.families import GOODPUTS
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm.rivals.schedule import constant
from services.lab.bench.llm.runs import RaceRunner
from services.lab.bench.llm.score import PathCost
from services.lab.bench.llm_product.pipeline import JobCosts
from services.lab.bench.llm_product.setup import REQUESTS, HarmonySetup
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace


class PlannedEngine(QueueEngine):
    """The Planner asks for the more, the tighter its goals are."""

    def loop_planner(
        self, requests: RequestList, setup: LoopSetup, planner: PlannerSetup
    ) -> LoopResult:
        return self.loop(requests, setup, constant(round(4 / planner.slo_scale)))


class OwnPath:
    """A path that always asks for eight workers, and tells what its jobs took."""

    def __init__(self) -> None:
        self._counts = constant(8)
        spent = JobCosts()
        spent.add(DECIDE_SHARD, 0.5)
        spent.add(INGEST_RESAMPLE, 0.25)
        self.pipeline = SimpleNamespace(spent=spent)
        self.first_tick_s, self.on_tick = self._counts.first_tick_s, self._counts.on_tick


class Databases:
    """Counts databases; there are none."""

    n_made = 0

    @contextmanager
    def fresh(self) -> Iterator[str]:
        self.n_made += 1
        yield "postgresql://none"


LAWS, PRIORS = ({SERVE: WorkLaw(seconds, 0.0, 0.0)} for seconds in (0.5, 0.25))
RACE = Race(small_trace(), 7, 30.0, {SERVE: WorkLaw(1.0, 0.0, 0.0)}, priors=PRIORS, told=LAWS)


def runner(databases: Databases | None = None, race: Race = RACE) -> RaceRunner:
    track = RaceTrack(race, cast("Any", PlannedEngine()))
    return RaceRunner(track, KeptRuns(), lambda _text: None, cast("Any", databases))


@pytest.mark.parametrize(("name", "stated"), [("harmony", 4.0), ("harmony_told", 2.0)])
def test_harmony_is_told_a_wrong_capacity_or_the_right_one(
    name: str, stated: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[HarmonySetup] = []

    def policy(setup: HarmonySetup, _url: str) -> OwnPath:
        told.append(setup)
        return OwnPath()

    monkeypatch.setattr(runs, "HarmonyPolicy", policy)
    databases = Databases()
    found = runner(databases).run(name)
    assert [setting for setting, _ in found] == list(GOODPUTS)
    assert [setup.promise for setup in told] == list(GOODPUTS)
    assert {setup.stated[REQUESTS] for setup in told} == {stated}
    assert databases.n_made == len(GOODPUTS)


def test_harmony_runs_at_the_promises_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HarmonyPolicy", lambda _setup, _url: OwnPath())
    one = replace(runner(Databases()), promises=(0.99,))
    ((setting, minutes),) = one.run("harmony")
    assert (setting, minutes.cost) == (0.99, PathCost(0.75, 0.5, 1))
    others = one.run("fixed")
    assert [setting for setting, _ in others] != [0.99]
    assert {minutes.cost for _, minutes in others} == {None}


def test_without_a_prior_or_a_database_harmony_does_not_run() -> None:
    for one in (runner(), runner(Databases(), replace(RACE, priors=None))):
        with pytest.raises(InvalidInput, match="--policies=harmony: needs a database and a prior"):
            one.run("harmony")


def test_the_planner_is_run_at_every_scale_of_its_goals() -> None:
    found = runner().run("planner")
    assert [setting for setting, _ in found] == list(SLO_SCALES)
    hours = [minutes.part(6, 11).gpu_hours for _, minutes in found]
    assert hours == sorted(hours)
