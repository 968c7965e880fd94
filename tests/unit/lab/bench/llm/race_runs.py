"""Runs without an engine: a policy misses by its setting, and holds what it is told to."""

from __future__ import annotations

import numpy as np

from services.lab.arena.loop import SERVE
from services.lab.bench.llm.families import HARMONY
from services.lab.bench.llm.runs import RaceRun
from services.lab.bench.llm.score import RunMinutes

N_MINUTES, FIRST, LAST = 12, 2, 12


def race_run(
    policy: str, setting: float, goodput: float, hours: float, **changed: object
) -> RaceRun:
    """Ten scored minutes of 10,000 requests, a goodput and GPU-hours in each half alike."""
    requests = np.full(N_MINUTES, 10_000)
    good = np.rint(requests * goodput).astype(int)
    gpu_s = np.full(N_MINUTES, hours * 3600.0 / (LAST - FIRST))
    minutes = RunMinutes(
        requests, good, {SERVE: requests - good}, gpu_s, np.ones(N_MINUTES, np.int64)
    )
    fields = {
        "trace": "shop",
        "startup_s": 60.0,
        "gpu": "h200_sxm",
        "mode": "aggregated",
        "policy": policy,
        "setting": setting,
        "seed": 7,
        "minutes": minutes,
        "first_minute": FIRST,
        "last_minute": LAST,
        "is_redrawn": True,
    }
    return RaceRun(**{**fields, **changed})  # type: ignore[arg-type]


def family(policy: str, factor: float, **changed: object) -> list[RaceRun]:
    """Goodputs of 90, 99 and 99.9 % for 4, 8 and 16 times a factor; Harmony's are promised."""
    points = ((1.0, 0.9, 4.0), (2.0, 0.99, 8.0), (3.0, 0.999, 16.0))
    return [
        race_run(
            policy, goodput if policy == HARMONY else setting, goodput, factor * hours, **changed
        )
        for setting, goodput, hours in points
    ]
