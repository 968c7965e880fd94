"""How old decisions are, and what was passed over, by class. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision.

    Attributes:
        step: Number of the step that it is about, from 0.
        end_s: End of that step.
        committed_s: When it was stored, on the same clock.
    """

    workload: int
    sla_class: str
    step: int
    end_s: float
    committed_s: float

    @property
    def freshness_s(self) -> float:
        """From the end of the step to the decision on it."""
        return self.committed_s - self.end_s


def freshness(decided: Sequence[Decided]) -> dict[str, float | None]:
    """Seconds from the end of a step to the decision on it; None: nothing was decided."""
    if not decided:
        return {"p50": None, "p99": None, "max": None}
    values = np.array([one.freshness_s for one in decided])
    return {
        "p50": float(np.percentile(values, 50)),
        "p99": float(np.percentile(values, 99)),
        "max": float(values.max()),
    }


@dataclass(frozen=True, slots=True)
class Watched:
    """A time that is looked at.

    Attributes:
        n_steps: Steps whose samples arrived in it, numbered from 0.
        step_s: Length of a step in seconds.
        first_end_s: End of step 0.
    """

    n_steps: int
    step_s: float
    first_end_s: float

    def end_s(self, step: int) -> float:
        """End of a step."""
        return self.first_end_s + step * self.step_s


def by_class(
    decided: Iterable[Decided], classes: Mapping[int, str], watched: Watched
) -> dict[str, Any]:
    """Figures of each class over a time.

    Args:
        decided: Decisions on its steps; one that came after the time counts too.
        classes: Class of every workload, those without a decision too.
        watched: The time.

    Returns:
        By class: `workloads`; `freshness_s` of what was decided; `age_steps`, how old the newest
        decision of each workload was, looked at at the end of every step, in steps after the first
        that it can be; `superseded`, steps of workloads that were passed over, and `share` of all;
        `greatest_run` of them in a row; `decided_each`, the least and most of a workload.
    """
    of_workload: dict[int, list[Decided]] = {id_: [] for id_ in classes}
    for one in decided:
        if 0 <= one.step < watched.n_steps:
            of_workload[one.workload].append(one)
    groups: dict[str, list[list[Decided]]] = defaultdict(list)
    for id_, found in of_workload.items():
        groups[classes[id_]].append(sorted(found, key=lambda one: one.step))
    return {name: _figures(groups[name], watched) for name in sorted(groups)}


def _figures(workloads: Sequence[Sequence[Decided]], watched: Watched) -> dict[str, Any]:
    runs = [run for found in workloads for run in _passed_runs(found, watched)]
    ages = np.array([age for found in workloads for age in _ages(found, watched)])
    counts = [len(found) for found in workloads]
    return {
        "workloads": len(workloads),
        "freshness_s": freshness([one for found in workloads for one in found]),
        "age_steps": {
            "p50": float(np.percentile(ages, 50)),
            "p99": float(np.percentile(ages, 99)),
            "max": float(ages.max()),
        },
        "superseded": sum(runs),
        "superseded_share": sum(runs) / (len(workloads) * watched.n_steps),
        "greatest_run": max(runs, default=0),
        "decided_each": {"min": min(counts), "max": max(counts)},
    }


def _passed_runs(found: Sequence[Decided], watched: Watched) -> list[int]:
    """Steps in a row without a decision."""
    steps = [-1, *(one.step for one in found), watched.n_steps]
    return [b - a - 1 for a, b in pairwise(steps)]


def _ages(found: Sequence[Decided], watched: Watched) -> list[float]:
    """At the end of each step but the first, steps since the one that the newest decision is of.

    A decision that came within a step of the end of its own has the age 1 then.
    """
    ages = []
    for step in range(1, watched.n_steps + 1):
        at_s = watched.end_s(step)
        newest = max((one.step for one in found if one.committed_s <= at_s), default=-1)
        ages.append(float(step - newest))
    return ages
