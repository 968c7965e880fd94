"""Runs of one trace at one start-up, over seeds: frontiers, and settings chosen on earlier data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from services.lab.bench.llm.families import HARMONY, SIMPLE
from services.lab.bench.llm.frontier import GoodputPoint, hours_at
from services.lab.bench.llm.runs import RaceRun
from services.lab.bench.llm.score import PartScore


class Part(Enum):
    """A part of a run."""

    WARM_UP = "before what is scored"
    WHOLE = "whole"
    EARLY = "first half"
    LATE = "second half"


@dataclass(frozen=True, slots=True)
class ChosenBefore:
    """What a policy came to at a setting that was chosen before it ran, as in life.

    Attributes:
        gpu_hours: What it took. Where it missed the goodput: at least what the best simple rival
            takes that keeps it, chosen in hindsight; None where none does.
        goodput: What it reached.
        kept: Whether that is the goodput it was chosen for, or more.
        settings: Of each seed, rule and setting.
    """

    gpu_hours: float | None
    goodput: float
    kept: bool
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One trace at one start-up.

    Attributes:
        trace: Its name.
        startup_s: Seconds from asking for a worker until it is ready.
        runs: Every policy, setting and seed.
    """

    trace: str
    startup_s: float
    runs: tuple[RaceRun, ...] = field(repr=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that were run, in order."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies that were run, in order."""
        return tuple(dict.fromkeys(run.policy for run in self.runs))

    @property
    def judged(self) -> Part:
        """What settings that were chosen on earlier data are judged by.

        The whole, where the earlier data is another seed's; where seeds only move the same requests
        a little, or there is but one, the second half, and the first one is the earlier data.
        """
        is_redrawn = self.runs[0].is_redrawn and len(self.seeds) > 1
        return Part.WHOLE if is_redrawn else Part.LATE

    def points(self, policy: str, part: Part, seeds: Sequence[int]) -> dict[float, PartScore]:
        """Per setting what seeds came to together; a seed may be given more than once."""
        found: dict[float, list[PartScore]] = {}
        for seed in seeds:
            for run in self.runs:
                if run.policy == policy and run.seed == seed:
                    found.setdefault(run.setting, []).append(score_of(run, part))
        return {setting: together(scores) for setting, scores in found.items()}

    def cpu(self, policy: str, setting: float) -> dict[str, float] | None:
        """CPU of Harmony's own path, mean over seeds; None: not known of all of them."""
        runs = [run for run in self.runs if (run.policy, run.setting) == (policy, setting)]
        found = [one for run in runs if (one := run.minutes.cpu) is not None]
        if not runs or len(found) < len(runs):
            return None
        return {name: sum(one[name] for one in found) / len(found) for name in found[0]}

    def hours(self, policy: str, goodput: float, part: Part, seeds: Sequence[int]) -> float | None:
        """GPU-hours a seed that a family takes for a goodput; None: it never reaches it."""
        scores = self.points(policy, part, seeds).values()
        return hours_at([GoodputPoint(one.goodput, one.gpu_hours) for one in scores], goodput)

    def best_simple(self, goodput: float, part: Part, seeds: Sequence[int]) -> float | None:
        """The least of the simple rivals, rule and setting picked in hindsight."""
        return self.least(self.simple, goodput, part, seeds)

    def least(
        self, policies: Sequence[str], goodput: float, part: Part, seeds: Sequence[int]
    ) -> float | None:
        """The least GPU-hours that one of several families takes for a goodput."""
        found = [self.hours(policy, goodput, part, seeds) for policy in policies]
        return min((one for one in found if one is not None), default=None)

    @property
    def simple(self) -> tuple[str, ...]:
        """Simple rivals that were run."""
        return tuple(policy for policy in self.policies if policy in SIMPLE)

    def chosen(self, goodput: float, seeds: Sequence[int]) -> ChosenBefore | None:
        """The simple rival that was best on earlier data; None where no simple one was run."""
        if not self.simple:
            return None
        scores, names = [], []
        for seed in seeds:
            policy, setting = self._choice(goodput, seed)
            names.append(f"{policy} {setting:g}")
            scores.append(self.points(policy, self.judged, [seed])[setting])
        return self._came_to(together(scores), goodput, seeds, tuple(names))

    def promised(self, goodput: float, seeds: Sequence[int]) -> ChosenBefore | None:
        """Harmony promised the goodput asked for; None where a seed has no run at that promise.

        It has no other setting to choose, so this is how it is taken in life. Its front over
        promises, read in hindsight, would be compared with a rival that has no hindsight.
        """
        each = [self.points(HARMONY, self.judged, [seed]).get(goodput) for seed in seeds]
        scores = [score for score in each if score is not None]
        if not scores or len(scores) < len(seeds):
            return None
        name = f"{HARMONY} {goodput:g}"
        return self._came_to(together(scores), goodput, seeds, (name,) * len(scores))

    def _came_to(
        self, score: PartScore, goodput: float, seeds: Sequence[int], settings: tuple[str, ...]
    ) -> ChosenBefore:
        """Counts who missed as taking at least what the best simple rule takes that keeps it."""
        if score.goodput >= goodput:
            return ChosenBefore(score.gpu_hours, score.goodput, True, settings)
        reached = self.best_simple(goodput, self.judged, seeds)
        hours = None if reached is None else max(score.gpu_hours, reached)
        return ChosenBefore(hours, score.goodput, False, settings)

    def _choice(self, goodput: float, seed: int) -> tuple[str, float]:
        """Rule and setting that took the least for the goodput, or came nearest to it."""
        if self.judged is Part.WHOLE:
            earlier = self.seeds[self.seeds.index(seed) - 1]  # the last one's, for the first
            part = Part.WHOLE
        else:
            earlier, part = seed, Part.EARLY
        found = {
            (policy, setting): score
            for policy in self.simple
            for setting, score in self.points(policy, part, [earlier]).items()
        }
        return min(found, key=lambda name: _dearness(found[name], goodput))


def score_of(run: RaceRun, part: Part) -> PartScore:
    """A part of a run, scored."""
    first, last = run.first_minute, run.last_minute
    middle = (first + last) // 2
    spans = {
        Part.WARM_UP: (0, first),
        Part.WHOLE: (first, last),
        Part.EARLY: (first, middle),
        Part.LATE: (middle, last),
    }
    return run.minutes.part(*spans[part])


def together(scores: Sequence[PartScore]) -> PartScore:
    """Requests summed, everything else the mean of a run."""
    n = len(scores)
    return PartScore(
        n_requests=sum(one.n_requests for one in scores),
        n_good=sum(one.n_good for one in scores),
        gpu_hours=sum(one.gpu_hours for one in scores) / n,
        minutes_out_of_sla=sum(one.minutes_out_of_sla for one in scores) / n,
        scale_events=sum(one.scale_events for one in scores) / n,
    )


def cells_of(runs: Sequence[RaceRun]) -> list[Cell]:
    """Runs by trace and start-up, in their order."""
    keys = dict.fromkeys((run.trace, run.startup_s) for run in runs)
    return [
        Cell(*key, tuple(run for run in runs if (run.trace, run.startup_s) == key)) for key in keys
    ]


def _dearness(score: PartScore, goodput: float) -> tuple[bool, float]:
    misses = not score.goodput >= goodput
    return misses, -score.goodput if misses else score.gpu_hours
