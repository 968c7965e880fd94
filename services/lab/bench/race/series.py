"""All races of a trace: lead times, bridges and seeds, with one forecaster for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from forecaster.predict import TrainedModel
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.forecasts import Forecasts, issued, raw_forecasts
from services.lab.bench.decide.task import MAX_STEPS_AHEAD, DecideOptions
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.forecast.task import BenchTask, Protocol, load_task
from services.lab.bench.race.arms import IN_HINDSIGHT, RACE_ARMS, ForecastSource
from services.lab.bench.race.bridge import Bridge
from services.lab.bench.race.course import RaceGrid, RaceTask, make_race_task, race_grid
from services.lab.bench.race.document import race_document
from services.lab.bench.race.entrants import race_rivals
from services.lab.bench.race.keep import RaceShelf
from services.lab.bench.race.run import RaceChoice, bench_race

FINE_S = 60.0
"""A trace of steps of at most this is raced as it is; a coarser one is divided into these."""
PRELUDE_SHARE = 0.5
"""Steps of the prelude over those counted."""


@dataclass(frozen=True, slots=True)
class RacePlan:
    """Which races are run.

    Attributes:
        leads_s: Lead times.
        step_s: Harmony's step on a fine trace; None: the trace's own. Refused on coarser ones.
        bridges: How coarse traces are divided.
        seeds: Of the bridges; the first is the forecaster's too.
        epsilons: Promises.
        policies: Rivals; empty: all.
        arms: Arms of Harmony beside it as it is.
        finest_s: Nobody decides more often.
        max_test_steps: Most of Harmony's steps counted.
        is_development: Whether only the first 80 % are read.
        has_forecasts: Whether Harmony races.
        prior: What fits begin with; None: random parameters.
        shelf: Where runs of rivals and forecasts are kept.
    """

    leads_s: tuple[float, ...]
    step_s: float | None = None
    bridges: tuple[str, ...] = (Bridge.WALK, Bridge.JUMP)
    seeds: tuple[int, ...] = (7,)
    epsilons: tuple[float, ...] = (0.01, 0.05)
    policies: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    finest_s: float = 15.0
    max_test_steps: int = 1440
    is_development: bool = False
    has_forecasts: bool = True
    prior: TrainedModel | None = None
    shelf: RaceShelf = field(default_factory=RaceShelf)

    def __post_init__(self) -> None:
        """Refuse names that nobody has."""
        known = [str(b) for b in Bridge if b is not Bridge.NONE]
        for name in self.bridges:
            if name not in known:
                raise InvalidInput(f"--bridges={name}: must be of {', '.join(known)}")
        rivals = race_rivals(FINE_S, FINE_S, FINE_S)
        for name in self.policies:
            if name not in rivals:
                raise InvalidInput(f"--policies={name}: must be of {', '.join(sorted(rivals))}")
        for name in self.arms:
            if name not in RACE_ARMS:
                raise InvalidInput(f"--arms={name}: must be of {', '.join(RACE_ARMS)}")
        # A race that is run twice would weigh double in the means.
        leads = [f"{lead_s:g}s" for lead_s in self.leads_s]
        for option, names in (("--lead", leads), ("--bridges", [*self.bridges])):
            for name in names:
                if names.count(name) > 1:
                    raise InvalidInput(f"{option}: {name} is named twice, must be once")

    @property
    def options(self) -> DecideOptions:
        """How a trace becomes a task; the lead time is set for each race."""
        return DecideOptions(
            max_test_steps=self.max_test_steps,
            max_prelude_steps=max(1, round(PRELUDE_SHARE * self.max_test_steps)),
            seed=self.seeds[0],
        )

    def grids(self, trace_step_s: float) -> list[tuple[RaceGrid, int]]:
        """Every way to divide a trace's steps, with its seed.

        Raises:
            InvalidInput: A step is asked for that the trace does not have.
        """
        if trace_step_s <= FINE_S:
            step_s = self.step_s or trace_step_s
            return [(race_grid(trace_step_s, step_s, trace_step_s, Bridge.NONE), self.seeds[0])]
        if self.step_s not in (None, trace_step_s):
            raise InvalidInput(
                f"--step={self.step_s:g}s: must be left out on a trace with steps of "
                f"{trace_step_s:g} s, which are Harmony's too: nothing finer is known of it"
            )
        return [
            (race_grid(trace_step_s, trace_step_s, FINE_S, Bridge(bridge)), seed)
            for bridge in self.bridges
            for seed in self.seeds
        ]


def read_race(path: Path, demand: str | None, plan: RacePlan) -> BenchTask:
    """A trace to race on, seen to go with the plan.

    Raises:
        TraceError: Unreadable file, or no workload long enough.
        InvalidInput: Its steps do not go with the plan's.
    """
    trace = load_task(path, Protocol.PANEL, demand=demand, max_origins=10**9)
    plan.grids(float(trace.series[0].step_s))
    return trace.development() if plan.is_development else trace


def race_data(trace: BenchTask, plan: RacePlan, tell: Tell) -> list[dict[str, Any]]:
    """Documents of all races of a trace.

    Raises:
        TraceError: No workload is long enough.
    """
    grids = plan.grids(float(trace.series[0].step_s))
    said = forecasts_of(trace, grids[0][0], plan, tell) if plan.has_forecasts else None
    found = []
    for grid, seed in grids:
        for lead_s in plan.leads_s:
            task = make_race_task(trace, grid, lead_s, plan.options, seed)

            def say(text: str, task: RaceTask = task) -> None:
                tell(f"{task.grid.bridge} {task.seed}, lead {task.lead_s:g} s: {text}")

            choice = RaceChoice(plan.policies, plan.arms, plan.finest_s, plan.shelf)
            result = bench_race(task, plan.epsilons, say, said, choice)
            found.append(race_document(result))
    return found


def forecasts_of(
    trace: BenchTask, grid: RaceGrid, plan: RacePlan, tell: Tell
) -> dict[ForecastSource, Forecasts]:
    """Forecasts at Harmony's steps, as far ahead as the longest lead time may need."""
    task = make_race_task(trace, grid, max(plan.leads_s), plan.options, plan.seeds[0]).decide
    far = replace(task, options=replace(task.options, lead_median_steps=float(MAX_STEPS_AHEAD)))
    seed = plan.seeds[0]
    version = "" if plan.prior is None else plan.prior.version
    raw = plan.shelf.forecasts(
        far, seed, lambda: raw_forecasts(far, seed, tell, plan.prior), version
    )
    asked = {ForecastSource.ISSUED, *(RACE_ARMS[name].said for name in plan.arms)} - {*IN_HINDSIGHT}
    return {
        said: issued(far, raw, is_calibrated=said is not ForecastSource.UNCALIBRATED)
        for said in sorted(asked)
    }
