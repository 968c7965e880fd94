"""What one replica of an engine carries within an objective: a prior without any history."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from services.kernel.errors import InvalidInput
from services.lab.arena.alone import measure_alone
from services.lab.arena.engine import ReplayEngine
from services.lab.arena.goals import RequestGoals
from services.lab.arena.limits import LimitFinder, LimitSearch, RateLimit
from services.lab.arena.requests import LengthMix, Shape
from services.lab.arena.table import LOADS

BINDS_FROM = 0.1
"""A load binds where twice as many tokens a request cut the rate by more than this share."""
_REQUESTS, _INPUT, _OUTPUT = LOADS[:3]


@dataclass(frozen=True, slots=True)
class ProfileQuestion:
    """What is asked.

    Attributes:
        shape: Lengths of the service's requests.
        goals: What a request is promised.
        share: Requests that may miss, beyond those that would miss alone.
        demand: The load, of the first three of `LOADS`, that is the service's demand.
        seed: Seed of arrivals and lengths.
    """

    shape: Shape
    goals: RequestGoals
    share: float
    demand: str
    seed: int

    def __post_init__(self) -> None:
        """Refuse what has no answer."""
        if not 0 < self.share < 1:
            raise InvalidInput(f"--share={self.share:g} must lie in (0, 1)")
        if self.demand not in LOADS[:3]:
            raise InvalidInput(f"--demand={self.demand}: must be one of {', '.join(LOADS[:3])}")


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """The limit at one pair of mean lengths.

    Attributes:
        requests: Which requests: those asked about, or with other lengths.
        shape: Their lengths.
        limit: The largest rate.
    """

    requests: str
    shape: Shape
    limit: RateLimit

    @property
    def loads(self) -> dict[str, float]:
        """Loads of one replica at the limit."""
        rate = self.limit.rate
        return {
            _REQUESTS: rate,
            _INPUT: rate * self.shape.mean_input,
            _OUTPUT: rate * self.shape.mean_output,
        }


@dataclass(frozen=True, slots=True)
class CapacityProfile:
    """What one replica carries.

    Attributes:
        question: What was asked.
        rows: Limits, the first of the requests that were asked about.
        about: What the engine says of itself.
    """

    question: ProfileQuestion
    rows: tuple[ProfileRow, ...]
    about: dict[str, Any]

    @property
    def binding(self) -> tuple[str, ...]:
        """Loads that bind here beside requests: more of it a request, and fewer are carried."""
        base = self.rows[0].limit.rate
        return tuple(
            load
            for load, row in zip((_INPUT, _OUTPUT), self.rows[1:3], strict=True)
            if row.limit.rate < (1.0 - BINDS_FROM) * base
        )

    @property
    def further(self) -> tuple[str, ...]:
        """Loads to name in `capacity.alsoBoundBy`."""
        return tuple(load for load in self.binding if load != self.question.demand)

    def spec(self) -> dict[str, Any]:
        """`demand` and `capacity` of a GPUAutoscaler."""
        loads = self.rows[0].loads
        capacity: dict[str, Any] = {"perReplica": plain(loads[self.question.demand])}
        if self.further:
            capacity["alsoBoundBy"] = [
                {"indicator": load, "perReplica": plain(loads[load])} for load in self.further
            ]
        return {"demand": self.question.demand, "capacity": capacity}

    def spec_yaml(self) -> str:
        """The same, to paste."""
        return yaml.safe_dump(self.spec(), sort_keys=False)

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "engine": self.about,
            "goals": asdict(self.question.goals),
            "share": self.question.share,
            "limits": [
                {
                    "requests": row.requests,
                    "mean_input": row.shape.mean_input,
                    "mean_output": row.shape.mean_output,
                    "per_replica": row.loads,
                    "misses_alone": row.limit.floor,
                    "missed_ttft_beyond": row.limit.missed_ttft,
                    "missed_tpot_beyond": row.limit.missed_tpot,
                }
                for row in self.rows
            ],
            "binding": list(self.binding),
            "spec": self.spec(),
        }


def capacity_profile(
    engine: ReplayEngine, question: ProfileQuestion, mix: LengthMix
) -> CapacityProfile:
    """Look for the limit of the requests asked about, and of those with twice the lengths.

    Raises:
        InvalidInput: Not even the lowest rate keeps the objective.
    """
    finder = LimitFinder(engine, measure_alone(engine), question.goals)
    search = LimitSearch(question.share, seed=question.seed)
    shape = question.shape
    shapes = {
        "as asked": shape,
        "prompts twice as long": replace(shape, mean_input=2.0 * shape.mean_input),
        "answers twice as long": replace(shape, mean_output=2.0 * shape.mean_output),
    }
    rows = tuple(
        ProfileRow(name, one, finder.find(one, mix, search)) for name, one in shapes.items()
    )
    if rows[0].limit.rate == 0:
        raise InvalidInput(
            f"one replica keeps ttft {question.goals.ttft_ms:g} ms and tpot "
            f"{question.goals.tpot_ms:g} ms at no rate: {rows[0].limit.floor:.1%} of the requests "
            "would miss a goal alone; raise the goals or take a faster GPU"
        )
    return CapacityProfile(question, rows, dict(engine.about))


def plain(value: float) -> str:
    """Three leading digits, rounded down: what is stated should not be more than was carried."""
    digits = 2 - math.floor(math.log10(value))
    scale = 10.0**digits
    return f"{math.floor(value * scale + 1e-9) / scale:.{max(digits, 0)}f}"
