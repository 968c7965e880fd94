"""Traces made by a seed: what a scaler meets, in its pure forms.

Each is an hour after ten minutes of warm-up, but the day. Lengths are log-normal, with the means
and spreads of Azure's conversations of 2023; arrivals are Poisson at the rate of the trace.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.kernel.clock import make_rng
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import FloatArray, RequestList, Shape, lognormal_mix
from services.lab.bench.llm.traces.arrivals import poisson_s, with_lengths
from services.lab.bench.llm.traces.trace import LlmTrace

WARM_S, HOUR_S, DAY_S = 600, 3600, 86_400
CONVERSATION = Shape(1155.0, 211.0, max_input=16_000, max_output=1_000)
FAST, SLOW = RequestGoals(1000.0, 40.0), RequestGoals(2000.0, 100.0)
"""Goals on an H200 and on an A100, as in `docs/arena.md`."""
MAX_WORKERS = 32
_N_DAYS_BEFORE = 2
RateOf = Callable[[np.random.Generator], FloatArray]
"""Draws (T,) requests/s in each second, from the start of the warm-up."""


def stationary(_rng: np.random.Generator) -> FloatArray:
    """One rate throughout: whatever is scaled here is scaled in vain."""
    return np.full(WARM_S + HOUR_S, 12.0)


def ramp(rng: np.random.Generator) -> FloatArray:
    """Four times the rate within 20 to 40 minutes, from a moment of the first quarter on."""
    start = WARM_S + rng.uniform(300.0, 900.0)
    end = start + rng.uniform(1200.0, 2400.0)
    return np.interp(_seconds(), [start, end], [6.0, 24.0])


def burst(rng: np.random.Generator) -> FloatArray:
    """Four bursts of one to four minutes to 2 to 3 times the rate, none foretold."""
    rate = np.full(WARM_S + HOUR_S, 8.0)
    for quarter in range(4):
        start = int(WARM_S + 900 * quarter + rng.uniform(60.0, 600.0))
        rate[start : start + int(rng.uniform(60.0, 240.0))] *= rng.uniform(2.0, 3.0)
    return rate


def level(rng: np.random.Generator) -> FloatArray:
    """2.25 times the rate from one second to the next, and back later."""
    up, down = WARM_S + rng.uniform(900.0, 1500.0), WARM_S + rng.uniform(2400.0, 3000.0)
    seconds = _seconds()
    return np.where((seconds >= up) & (seconds < down), 18.0, 8.0)


HOURS: dict[str, RateOf] = {
    "stationary": stationary,
    "ramp": ramp,
    "burst": burst,
    "level": level,
}
DAY = "day"
MADE = (*HOURS, DAY)


def made_trace(name: str, seed: int, rate: float = 1.0) -> LlmTrace:
    """One of `MADE`.

    Args:
        name: Which.
        seed: Seed of arrivals and lengths, and of where bursts and changes are.
        rate: What its rates are multiplied by.
    """
    rng = make_rng(seed, "bench", "llm", name)
    if name == DAY:
        return _day(rng, rate)
    requests = _requests(HOURS[name](rng) * rate, rng)
    return LlmTrace(
        name, requests, FAST, "h200_sxm", MAX_WORKERS, WARM_S, about=f"generated, seed {seed}"
    )


def day_rate(n_days: int, rng: np.random.Generator) -> FloatArray:
    """(T,) requests/s of days with a peak in the afternoon, four times the night's.

    Time is not compressed: a day has 86,400 seconds and start-ups take as long as ever. What makes
    it cheap to replay is that there are few requests, on a GPU of which few carry them. Days differ
    by a tenth, and slow noise of a tenth with a memory of half an hour lies over them.
    """
    second = np.arange(n_days * DAY_S, dtype=np.float64)
    hour = second % DAY_S / 3600.0
    daily = 0.625 - 0.375 * np.cos((hour - 3.0) / 24.0 * 2.0 * np.pi)
    size = np.repeat(np.exp(rng.normal(0.0, 0.1, n_days)), DAY_S)
    n_minutes = n_days * DAY_S // 60
    noise = np.zeros(n_minutes)
    keep = np.exp(-1.0 / 30.0)
    for minute, shock in enumerate(rng.normal(0.0, 0.1 * np.sqrt(1.0 - keep**2), n_minutes)):
        noise[minute] = keep * noise[minute - 1] + shock
    slow = np.exp(np.interp(second / 60.0, np.arange(n_minutes), noise))
    return np.asarray(4.0 * daily * size * slow, np.float64)


def _day(rng: np.random.Generator, rate: float) -> LlmTrace:
    """A day and an hour of warm-up before it, after two days of history."""
    before_s = _N_DAYS_BEFORE * DAY_S - HOUR_S
    whole = _requests(day_rate(_N_DAYS_BEFORE + 1, rng) * rate, rng)
    history, requests = split_at(whole, before_s)
    return LlmTrace(
        DAY, requests, SLOW, "a100_sxm", MAX_WORKERS, HOUR_S, history, "generated days, real time"
    )


def split_at(requests: RequestList, at_s: float) -> tuple[RequestList, RequestList]:
    """Those before a second, their times negative, and those from it on, the second being 0."""
    shifted = requests.arrival_ms - at_s * 1e3
    first = int(np.searchsorted(shifted, 0.0))
    parts = (slice(None, first), slice(first, None))
    before, after = (
        RequestList(shifted[part], requests.input_tokens[part], requests.output_tokens[part])
        for part in parts
    )
    return before, after


def _seconds() -> FloatArray:
    return np.arange(WARM_S + HOUR_S, dtype=np.float64)


def _requests(rate_rps: FloatArray, rng: np.random.Generator) -> RequestList:
    return with_lengths(poisson_s(rate_rps, rng), CONVERSATION, lognormal_mix(), rng)
