"""Runs of every policy at every setting of its grid, on one trace at one start-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from services.kernel.errors import InvalidInput
from services.kernel.jobs import DECIDE_SHARD
from services.lab.arena.loop import LoopResult
from services.lab.bench.llm.entrants import PLANNERS, SLO_SCALES, PlannerKind, harmony_setup
from services.lab.bench.llm.families import (
    FAMILIES,
    FIXED,
    GOODPUTS,
    HARMONY,
    HARMONY_TOLD,
    IDEAL,
    ORACLE,
    Family,
    PoolRace,
)
from services.lab.bench.llm.keep import PRODUCT_CODE, RIVAL_CODE, KeptRuns, track_key
from services.lab.bench.llm.oracle import OracleGoal, Schedule, TriedSchedule, search_schedules
from services.lab.bench.llm.race import RaceTrack
from services.lab.bench.llm.rivals.each_pool import EachPool
from services.lab.bench.llm.rivals.schedule import STEP_S, KnownSchedule
from services.lab.bench.llm.score import MINUTE_S, PathCost, RunMinutes, minutes_of
from services.lab.bench.llm_product.pipeline import JobCosts
from services.lab.bench.llm_product.policy import HarmonyPolicy
from services.lab.bench.llm_product.servers import RunDatabases

Tell = Callable[[str], None]
HARMONIES = (HARMONY, HARMONY_TOLD)
POLICIES = (*HARMONIES, *PLANNERS, *FAMILIES, ORACLE)
"""Every name that can be asked for."""


@dataclass(frozen=True, slots=True)
class RaceRun:
    """One run.

    Attributes:
        trace: Name of the trace.
        startup_s: Seconds from asking for a worker until it is ready.
        gpu: GPU type.
        mode: Whether prefill and decode share their workers.
        policy: The family.
        setting: Its setting.
        seed: Of the trace, and of what is random in the policy.
        minutes: What came of it.
        first_minute: The first that is scored.
        last_minute: The first that is not scored any more.
        is_redrawn: Whether another seed is other requests, and not the same ones moved a little.
    """

    trace: str
    startup_s: float
    gpu: str
    mode: str
    policy: str
    setting: float
    seed: int
    minutes: RunMinutes = field(repr=False)
    first_minute: int
    last_minute: int
    is_redrawn: bool

    def to_json(self) -> dict[str, Any]:
        """One row of the document."""
        score = self.minutes.part(self.first_minute, self.last_minute)
        return {
            "trace": self.trace,
            "startup_s": self.startup_s,
            "gpu": self.gpu,
            "mode": self.mode,
            "policy": self.policy,
            "setting": self.setting,
            "seed": self.seed,
            "gpu_hours": round(score.gpu_hours, 4),
            "goodput": round(score.goodput, 6),
            "minutes_out_of_sla": int(score.minutes_out_of_sla),
            "scale_events": int(score.scale_events),
            "cpu": self.minutes.cpu,
            "warm_up": self._warm_up(),
        }

    def _warm_up(self) -> dict[str, Any]:
        """What came of the minutes that are not scored: what Harmony learns from at first."""
        score = self.minutes.part(0, self.first_minute)
        return {
            "gpu_hours": round(score.gpu_hours, 4),
            "goodput": round(score.goodput, 6) if score.n_requests else None,
            "minutes_out_of_sla": int(score.minutes_out_of_sla),
            "scale_events": int(score.scale_events),
        }


def path_cost(spent: JobCosts) -> PathCost:
    """What the jobs of a run took."""
    decide_s, decisions = spent.seconds[DECIDE_SHARD], spent.runs[DECIDE_SHARD]
    return PathCost(sum(spent.seconds.values()), decide_s, decisions)


@dataclass(frozen=True, slots=True)
class RaceRunner:
    """Runs policies on a track, or finds runs that were kept.

    Attributes:
        track: Where.
        kept: Runs of before.
        tell: Called with lines of progress.
        databases: For Harmony's runs; None where it does not run.
        promises: Settings of Harmony.
    """

    track: RaceTrack
    kept: KeptRuns
    tell: Tell
    databases: RunDatabases | None = None
    promises: tuple[float, ...] = GOODPUTS

    def run(self, policy: str) -> list[tuple[float, RunMinutes]]:
        """Every setting of a policy.

        Raises:
            InvalidInput: It is unknown.
        """
        if policy == ORACLE:
            return self._oracle()
        if policy in PLANNERS:
            return [(one, self._planner(policy, PLANNERS[policy], one)) for one in SLO_SCALES]
        if policy in HARMONIES:
            return [(one, self._harmony(policy, one)) for one in self.promises]
        if policy not in FAMILIES:
            raise InvalidInput(f"--policies={policy}: must be of {', '.join(POLICIES)}")
        family = FAMILIES[policy]
        settings = family.settings_in(self.track.race)
        return [(one, self._setting(policy, family, one)) for one in settings]

    def minutes(
        self,
        label: str,
        what: dict[str, Any],
        play: Callable[[], RunMinutes],
        code: tuple[str, ...] = RIVAL_CODE,
    ) -> RunMinutes:
        """A run that was kept, or a new one.

        Args:
            label: For the line of progress.
            what: What is run, for the key.
            play: Runs it.
            code: Folders of the code that it depends on.
        """
        key = track_key(self.track, code) | what
        found = self.kept.find(key)
        if found is not None:
            return RunMinutes.from_json(found)
        race = self.track.race
        self.tell(f"{race.trace.name}, {race.startup_s:g} s, seed {race.seed}: {label}")
        made = play()
        self.kept.keep(key, made.to_json())
        return made

    def _scored(self, result: LoopResult) -> RunMinutes:
        trace = self.track.race.trace
        return minutes_of(result, trace.goals, trace.max_workers)

    def _setting(self, name: str, family: Family, setting: float) -> RunMinutes:
        def play() -> RunMinutes:
            race = self.track.race
            policy = family.policy(race, setting)
            return self._scored(self.track.engine.loop(race.trace.requests, race.setup, policy))

        return self.minutes(f"{name} {setting:g}", {"policy": name, "setting": setting}, play)

    def _planner(self, name: str, kind: PlannerKind, slo_scale: float) -> RunMinutes:
        def play() -> RunMinutes:
            race = self.track.race
            setup = kind.setup(race, slo_scale)
            played = self.track.engine.loop_planner(race.trace.requests, race.setup, setup)
            return self._scored(played)

        what = {"policy": name, "setting": slo_scale}
        return self.minutes(f"{name} {slo_scale:g}", what, play)

    def _harmony(self, name: str, promise: float) -> RunMinutes:
        race = self.track.race
        laws = race.told if name == HARMONY_TOLD else race.priors
        if laws is None or self.databases is None:
            raise InvalidInput(f"--policies={name}: needs a database and a prior of its capacity")
        databases, setup = self.databases, harmony_setup(race, promise, laws)

        def play() -> RunMinutes:
            with databases.fresh() as url:
                policy = HarmonyPolicy(setup, url)
                played = self.track.engine.loop(race.trace.requests, race.setup, policy)
            return replace(self._scored(played), cost=path_cost(policy.pipeline.spent))

        what = {"policy": name, "setting": promise, "stated": setup.stated}
        return self.minutes(f"{name} {promise:g}", what, play, PRODUCT_CODE)

    def _schedule(self, counts: Schedule) -> RunMinutes:
        """A schedule of a count each minute."""

        def play() -> RunMinutes:
            race = self.track.race
            each = {
                pool: KnownSchedule(own, race.startup_s, MINUTE_S) for pool, own in counts.items()
            }
            policy = EachPool(each) if len(each) > 1 else each[race.pools[0]]
            return self._scored(self.track.engine.loop(race.trace.requests, race.setup, policy))

        listed = {pool: own.tolist() for pool, own in counts.items()}
        return self.minutes(ORACLE, {"policy": ORACLE, "counts": listed}, play)

    def _oracle(self) -> list[tuple[float, RunMinutes]]:
        """Per goodput the cheapest schedule tried that reaches it, or the nearest to it.

        The search starts from the constants and the ideal schedules of the rivals' grids.
        """
        race = self.track.race
        tried = [
            TriedSchedule(self._minute_counts(name, setting), minutes)
            for name in (FIXED, IDEAL)
            for setting, minutes in self.run(name)
        ]
        for goodput in GOODPUTS:
            goal = OracleGoal(goodput, race.startup_s, race.trace.max_workers, race.first_minute)
            tried += search_schedules(tried, self._schedule, goal)
        return [(goodput, self._cheapest(tried, goodput)) for goodput in GOODPUTS]

    def _minute_counts(self, name: str, setting: float) -> Schedule:
        """A schedule of the rivals' grids by whole minutes, each count rounded from its mean."""
        race, found = self.track.race, {}
        n_minutes, per_minute = int(race.trace.until_s // MINUTE_S) + 1, round(MINUTE_S / STEP_S)
        for pool in race.pools:
            schedule = FAMILIES[name].make(PoolRace(race, pool), setting)
            assert isinstance(schedule, KnownSchedule)
            at = np.minimum(np.arange(n_minutes * per_minute), schedule.counts.size - 1)
            counts = schedule.counts[at].reshape(n_minutes, per_minute).mean(axis=1)
            whole = np.clip(np.rint(counts), 1, race.trace.max_workers)
            found[pool] = np.asarray(whole, np.int64)
        return found

    def _cheapest(self, tried: Sequence[TriedSchedule], goodput: float) -> RunMinutes:
        def dearness(one: TriedSchedule) -> tuple[bool, float]:
            score = one.minutes.part(self.track.race.first_minute, self.track.race.last_minute)
            misses = score.goodput < goodput
            return misses, -score.goodput if misses else score.gpu_hours

        return min(tried, key=dearness).minutes
