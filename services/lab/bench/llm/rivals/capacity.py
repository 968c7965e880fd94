"""What a rival knows that is told the engine's capacity: seconds of a worker that a request takes.

Shapes: N requests, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.arena.alone import AloneLaw, measure_alone
from services.lab.arena.engine import ReplayEngine
from services.lab.arena.goals import missed_goals
from services.lab.arena.requests import (
    FloatArray,
    LengthMix,
    RequestList,
    Shape,
    poisson_requests,
)
from services.lab.bench.llm.traces.trace import LlmTrace

LIMIT_SHARE = 0.05
"""A worker is full where this share of requests misses a goal, beyond those that would alone."""
_N_WORKERS, _MINUTES, _WARM_MINUTES = 4, 12.0, 2.0
_RUNGS = 0.3 * 1.25 ** np.arange(9)
"""Rates tried, over one that a batch of 16 would finish: from clearly too few to far too many."""


@dataclass(frozen=True, slots=True)
class WorkLaw:
    """Seconds of a full worker that a request takes, from limits at three pairs of lengths.

    Attributes:
        per_request_s: Of each request.
        per_input_s: Of each token of its prompt.
        per_output_s: Of each token of its answer.
    """

    per_request_s: float
    per_input_s: float
    per_output_s: float

    def seconds(self, requests: RequestList) -> FloatArray:
        """(N,) seconds of a worker."""
        return self.of(requests.input_tokens, requests.output_tokens)

    def of(self, inputs: FloatArray | np.ndarray, outputs: FloatArray | np.ndarray) -> FloatArray:
        """(N,) seconds of a worker for prompts and answers of those lengths."""
        return np.asarray(
            self.per_request_s + self.per_input_s * inputs + self.per_output_s * outputs, float
        )


def law_of_limits(limits: Sequence[float], inputs: float, outputs: float) -> WorkLaw:
    """The law of limits in requests/s: as the lengths are, prompts doubled, answers doubled.

    What doubling costs beyond the whole of a request is a curve that no such law has: both parts
    are then shrunk until they explain it.
    """
    whole, longer, answers = (1.0 / limit for limit in limits)
    by_input, by_output = max(longer - whole, 0.0), max(answers - whole, 0.0)
    shrink = min(1.0, whole / max(by_input + by_output, 1e-12))
    by_input, by_output = shrink * by_input, shrink * by_output
    return WorkLaw(max(whole - by_input - by_output, 0.0), by_input / inputs, by_output / outputs)


def measure_work(engine: ReplayEngine, trace: LlmTrace) -> WorkLaw:
    """The law of a trace's lengths under its goals, by replays of 12 minutes on four workers.

    One worker alone would be called full too early where few requests are long: most of what then
    misses stands behind one of those.

    Raises:
        InvalidInput: Requests miss their goals at the lowest rate.
    """
    shape, alone = trace.shape, measure_alone(engine)
    most = min(engine.about["max_model_tokens"], engine.about["kv_tokens"]) - 2 * shape.max_output
    longer = replace(
        shape, mean_input=2.0 * shape.mean_input, max_input=min(2 * shape.max_input, most)
    )
    answers = replace(shape, mean_output=2.0 * shape.mean_output, max_output=2 * shape.max_output)
    limits = tuple(_limit(engine, alone, trace, one) for one in (shape, longer, answers))
    if limits[0] == 0:
        raise InvalidInput(
            f"{trace.name}: on {trace.gpu} more than {LIMIT_SHARE:.0%} of the requests miss ttft "
            f"{trace.goals.ttft_ms:g} ms or tpot {trace.goals.tpot_ms:g} ms at any rate; raise the "
            "goals or take a faster GPU"
        )
    # Requests of twice the length that are carried at no rate take at least twice the time.
    found = [limits[0], *(limit if limit > 0 else limits[0] / 2.0 for limit in limits[1:])]
    return law_of_limits(found, shape.mean_input, shape.mean_output)


def _limit(engine: ReplayEngine, alone: AloneLaw, trace: LlmTrace, shape: Shape) -> float:
    """Requests/s of a worker at which `LIMIT_SHARE` more of them miss than alone; 0: at none."""
    mix = LengthMix(
        trace.name,
        trace.requests.input_tokens / trace.shape.mean_input,
        trace.requests.output_tokens / trace.shape.mean_output,
    )
    first_s = float(alone.first_token_s(np.array([shape.mean_input]))[0])
    rates = np.asarray(_RUNGS / (first_s + shape.mean_output * alone.token_s / 16.0), float)
    lists = [
        poisson_requests(
            float(rate) * _N_WORKERS, _MINUTES, shape, mix, make_rng(7, "bench", "llm", "limit", at)
        )
        for at, rate in enumerate(rates)
    ]
    missed = []
    for requests, served in zip(lists, engine.replay_each(lists, _N_WORKERS), strict=True):
        counted = requests.arrival_ms >= _WARM_MINUTES * 60e3
        share = float(missed_goals(served, trace.goals).either[counted].mean())
        floor = alone.floor(requests, trace.goals)
        # Where everything misses alone, no rate would miss more.
        missed.append(share - floor if floor + LIMIT_SHARE < 1 else 1.0)
    return limit_of(rates, np.array(missed))


def limit_of(rates: FloatArray, missed: FloatArray) -> float:
    """Where shares that should rise with the rate, but scatter, cross `LIMIT_SHARE`."""
    rising = isotonic_regression(missed).x
    if rising[0] > LIMIT_SHARE:
        return 0.0
    at = int(np.searchsorted(rising, LIMIT_SHARE, side="right"))
    if at == rates.size:
        return float(rates[-1])
    within = (LIMIT_SHARE - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(rates[at - 1] * (rates[at] / rates[at - 1]) ** within)


def needed_workers(requests: RequestList, law: WorkLaw, step_s: float) -> FloatArray:
    """(T,) full workers that the arrivals of each step keep busy."""
    n_steps = int(requests.arrival_ms[-1] / 1e3 // step_s) + 1
    at = (requests.arrival_ms / 1e3 // step_s).astype(int)
    return np.bincount(at, law.seconds(requests), n_steps) / step_s
