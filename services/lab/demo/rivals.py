"""The rivals: tuned on history, run over the replay, judged by what requests felt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.lab.report import RivalFrontier
from services.simulator import (
    PolicyRun,
    PolicyScore,
    ServedFleet,
    Tried,
    felt_score,
    run_rivals,
    score,
    service_score,
)
from services.simulator.fleet import ScaledFleet


@dataclass(frozen=True, slots=True)
class SharedDay:
    """The day that all policies are run over, and what they are judged by.

    Attributes:
        scaled: The fleet.
        served: How requests are served; None: by the stated capacity.
        epsilon: Promised largest fraction of time out of SLA.
        past: How those of the history were served.
    """

    scaled: ScaledFleet
    served: ServedFleet | None
    epsilon: float
    past: ServedFleet | None = None


@dataclass(frozen=True, slots=True)
class JudgedRivals:
    """The rivals' scores.

    Attributes:
        scores: By service.
        by_target: By target.
        frontiers: At several settings, by service.
    """

    scores: tuple[PolicyScore, ...]
    by_target: tuple[PolicyScore, ...]
    frontiers: tuple[RivalFrontier, ...]


def by_service(
    day: SharedDay, by_target: Sequence[PolicyScore], runs: Sequence[PolicyRun]
) -> tuple[PolicyScore, ...]:
    """Scores of services from those of targets, by what requests felt where that is known."""
    scores = tuple(
        service_score(one, run, day.scaled) for one, run in zip(by_target, runs, strict=True)
    )
    if day.served is None:
        return scores
    return tuple(
        felt_score(one, run, day.served, day.epsilon) for one, run in zip(scores, runs, strict=True)
    )


def judge_rivals(day: SharedDay) -> JudgedRivals:
    """Tune the rivals on history, run them over the replay, judge them by what requests felt."""
    targets = day.scaled.targets
    found = run_rivals(
        targets, epsilon=day.epsilon, seed=targets.seed, with_hindsight=True, past=day.past
    )
    scores = by_service(day, found.scores, found.runs)
    frontiers = rival_frontiers(scores, found.tried, day.scaled, day.served, day.epsilon)
    return JudgedRivals(scores, found.scores, frontiers)


def rival_frontiers(
    scores: Sequence[PolicyScore],
    tried: Sequence[Tried],
    scaled: ScaledFleet,
    served: ServedFleet | None,
    epsilon: float,
) -> tuple[RivalFrontier, ...]:
    """Each rival at the settings that were tried and at the one that history chose.

    Args:
        scores: As deployed, by service.
        tried: Replays at other settings.
        scaled: What is scaled for which service.
        served: How requests were served; None: by the stated capacity.
        epsilon: Promised largest fraction of time out of SLA.
    """
    found = []
    for name in dict.fromkeys(one.policy for one in tried):
        judged = [next(s for s in scores if s.name == name)]
        for one in (t for t in tried if t.policy == name):
            by_target = score(one.run, scaled.targets, setting=one.setting)
            believed = service_score(by_target, one.run, scaled)
            judged.append(
                believed if served is None else felt_score(believed, one.run, served, epsilon)
            )
        found.append(
            RivalFrontier(
                name,
                tuple(s.setting for s in judged),
                np.array([s.violation_rate for s in judged]),
                np.array([s.cost_usd for s in judged]),
            )
        )
    return tuple(found)
