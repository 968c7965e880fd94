"""Demand behind the last step that was forecast, on public traces: what goes on, and how sure.

`python -m pytest -q -s tests/statistical/decider/tables/test_reach.py` prints it. The forecast is
what then happened, so that all that is wrong is what lies beyond it. Losses are shares of those of
the last step, which stood in for what follows before paths went on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from decider import History
from decider.tables.reach import reaching
from decider.types import FloatArray
from tests.unit.decider.shards import NOW_S, shard, workload

pytestmark = pytest.mark.slow

TRACES = {
    "azure_v2_fleet": "l3_cpu_cores_used",
    "bitbrains_rnd": "l3_cpu_mhz_used",
    "cloud_pools": "",
    "fisher": "l1_load",
}
CONTEXT, HORIZON, N_ORIGINS, N_SERIES = 144, 12, 40, 6
BEYOND = (12, 24, 60)
LEVELS = (0.5, 0.9, 0.99)


def series(folder: Path, name: str) -> Iterator[FloatArray]:
    """Demand of the first workloads of a trace."""
    table = pq.read_table(folder / f"{name}.parquet")
    column = TRACES[name] if TRACES[name] in table.schema.names else table.schema.names[2]
    owner = np.array(table["workload"].to_pylist())
    values = table[column].to_numpy(zero_copy_only=False).astype(float)
    for one in list(dict.fromkeys(owner))[:N_SERIES]:
        found = values[owner == one]
        found = np.maximum(found[np.isfinite(found)], 0.0)
        if found.size > CONTEXT + HORIZON + max(BEYOND) + N_ORIGINS:
            yield found


@dataclass(frozen=True)
class Scores:
    """Of one series at one distance: relative losses (3,), and what lay below two levels (2,)."""

    losses: FloatArray
    below: FloatArray


def scores(demand: FloatArray, beyond: int, rng: np.random.Generator) -> Scores | None:
    """Scores over some origins of a series; None: the last step was right at each."""
    found, held, below = [], [], []
    last = demand.size - HORIZON - beyond
    for at in rng.integers(CONTEXT, last, N_ORIGINS):
        history = demand[at - CONTEXT : at]
        if history.mean() <= 0:
            continue
        paths = np.repeat(demand[None, at : at + HORIZON], 200, axis=0)
        request = shard(paths, [workload(history=History(history, NOW_S))])
        ends = reaching(replace(request, reach=HORIZON + beyond)).paths[0, :, -1]
        actual, levels = demand[at + HORIZON + beyond - 1], np.array(LEVELS)
        marks = np.quantile(ends, LEVELS)
        found.append(pinball(actual - marks, levels) / history.mean())
        held.append(pinball(actual - paths[0, -1], levels) / history.mean())
        below.append(actual <= marks[1:])
    if not found or np.min(np.mean(held, axis=0)) <= 0:
        return None
    return Scores(np.mean(found, axis=0) / np.mean(held, axis=0), np.mean(below, axis=0))


def pinball(miss: FloatArray, level: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(level * miss, (level - 1.0) * miss))


def test_what_lies_beyond_the_forecast_is_known_better_than_by_its_last_step(traces: Path) -> None:
    rng = np.random.default_rng(7)
    every = [demand for name in TRACES for demand in series(traces, name)]
    print(f"\n{len(every)} series; losses beside the last step's at {LEVELS}, below p90 and p99")
    for beyond in BEYOND:
        known = [one for demand in every if (one := scores(demand, beyond, rng)) is not None]
        losses = np.exp(np.mean([np.log(np.maximum(s.losses, 1e-3)) for s in known], axis=0))
        below = np.mean([s.below for s in known], axis=0)
        print(f"{beyond:3d} steps beyond: {losses.round(2)} {below.round(3)} of {len(known)}")
        assert losses[2] < 0.9, "the last step has no tail"
        assert below[1] > 0.88
