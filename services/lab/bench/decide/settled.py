"""Is a promise kept once Harmony has decided for two days: true rates by service, with an interval.

Days count from the first decision that reads a forecast: from there on Harmony decides, measures
and learns. Days 2 to 8 are scored, as far as they are part of the test.

Shapes: W workloads, B days, R rows (the data as they are, then resamples).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.decide.figures import number
from services.lab.bench.decide.frontier import DAY_S, block_sums, resamples
from services.lab.bench.decide.task import DecideTask
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import GridRun

FIRST_DAY, LAST_DAY = 2.0, 8.0
N_REPLICATES = 1000
Json = dict[str, Any]
Row = dict[str, object]


def settled_part(task: DecideTask, first_step: int) -> slice:
    """Steps of the course that are scored; may be empty.

    Args:
        task: The benchmark.
        first_step: First step of the course with a forecast.
    """
    per_day = DAY_S / task.course.step_s
    first = max(task.n_prelude, first_step + round(FIRST_DAY * per_day))
    return slice(first, min(task.course.n_steps, first_step + round(LAST_DAY * per_day)))


def settled_sums(task: DecideTask, run: GridRun, setting: int, first_step: int) -> Json:
    """(W, B) steps truly out of SLA and known ones by day; without any day nothing is scored."""
    part = settled_part(task, first_step)
    if part.stop <= part.start:
        return {"out": [], "known": []}
    known = task.is_known[:, part].astype(float)
    out = run.violation_ratio[setting][:, part] * known
    n_per_day = max(1, round(DAY_S / task.course.step_s))
    return {
        "out": [[number(v) for v in row] for row in block_sums(out, n_per_day)],
        "known": block_sums(known, n_per_day).tolist(),
    }


def settled_figures(datasets: Sequence[Mapping[str, Any]], key: str) -> Json:
    """Every arm over the services of all data sets at one promise.

    The 95 % interval is of a bootstrap over services and days; a data set keeps its number of
    services. A service without a known step is left out.
    """
    by_name: dict[str, list[Json]] = {}
    for one in datasets:
        for name, sums in one.get("settled", {}).get(key, {}).items():
            if np.asarray(sums["known"]).sum() > 0:
                by_name.setdefault(name, []).append(sums)
    return {name: _figures(sums, float(key)) for name, sums in by_name.items()}


def _figures(sets: Sequence[Json], epsilon: float) -> Json:
    """One arm at one promise."""
    rates, own = zip(*(_resampled(sums) for sums in sets), strict=True)
    n = [one.size for one in own]
    mean = np.average(np.stack(rates), axis=0, weights=n)
    low, high = np.nanquantile(mean[1:], [0.025, 0.975])
    every = np.concatenate(own)
    return {
        "true_rate": number(float(mean[0])),
        "interval": [number(float(low)), number(float(high))],
        "median": number(float(np.median(every))),
        "worst": number(float(every.max())),
        "n_services": int(every.size),
        "n_over_twice": int((every > 2 * epsilon).sum()),
    }


def _resampled(sums: Json) -> tuple[FloatArray, FloatArray]:
    """(R,) mean rate over services, and the rate of each service."""
    out, known = np.asarray(sums["out"]), np.asarray(sums["known"])
    rows = known.sum(axis=1) > 0
    out, known = out[rows], known[rows]
    rng = make_rng(0, "bench", "decide", "settled")
    found = [(np.ones(known.shape[1]), np.arange(known.shape[0]))]
    found += resamples(known.shape[0], known.shape[1], N_REPLICATES, rng)
    rates = np.array([_mean(out[chosen] @ days, known[chosen] @ days) for days, chosen in found])
    return rates, out.sum(axis=1) / known.sum(axis=1)


def _mean(out: FloatArray, known: FloatArray) -> float:
    """Mean rate over services, of those with a known step."""
    return float((out[known > 0] / known[known > 0]).mean()) if (known > 0).any() else np.nan


def settled_rows(document: Mapping[str, Any], key: str) -> list[Row]:
    """A table of the arms; earlier documents have none."""
    return [
        {
            "arm": name,
            "services": one["n_services"],
            "truly out of SLA": f"{one['true_rate']:.2%}",
            "95 % interval": " to ".join(f"{end:.2%}" for end in one["interval"]),
            "median": f"{one['median']:.2%}",
            "worst": f"{one['worst']:.2%}",
            "over twice the promise": one["n_over_twice"],
        }
        for name, one in document["summary"][key].get("settled", {}).items()
    ]
