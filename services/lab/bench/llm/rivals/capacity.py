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
from services.lab.arena.engine import POOLS, ReplayEngine
from services.lab.arena.goals import missed_goals
from services.lab.arena.loop import DECODE, PREFILL, SERVE
from services.lab.arena.requests import (
    FloatArray,
    LengthMix,
    RequestList,
    ServedRequests,
    Shape,
    poisson_requests,
)
from services.lab.bench.llm.traces.trace import LlmTrace

LIMIT_SHARE = 0.05
"""A worker is full where this share of requests misses a goal, beyond those that would alone."""
_N_WORKERS, _MINUTES, _WARM_MINUTES = 4, 12.0, 2.0
_N_DECODE_WORKERS, _POOL_MINUTES = 2, 5.0
"""Of two pools: one thing binds, and it is soon seen."""
_NO_GOAL = 1e12
_N_OTHERS = 16
"""Workers of the other pool for each that is measured: they are never short."""
_RUNGS = 0.3 * 1.25 ** np.arange(9)
"""Rates tried, over one that a batch would finish: from clearly too few to far too many."""
_BATCH, _DECODE_BATCH = 16, 64


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


def measure_works(engine: ReplayEngine, trace: LlmTrace) -> dict[str, WorkLaw]:
    """The law of a worker of each of the engine's pools."""
    return {pool: measure_work(engine, trace, pool) for pool in POOLS[engine.choice.mode]}


def measure_work(engine: ReplayEngine, trace: LlmTrace, pool: str = SERVE) -> WorkLaw:
    """The law of a trace's lengths under its goals, by replays of 12 minutes on four workers.

    One worker alone would be called full too early where few requests are long: most of what then
    misses stands behind one of those. Of two pools the other one has workers in plenty. Answers
    are nothing to prefill; what decode has no room for waits as a prompt: both goals count for it.

    Raises:
        InvalidInput: Requests miss their goals at the lowest rate.
    """
    shape, alone = trace.shape, measure_alone(engine)
    if pool == PREFILL:
        shape = replace(shape, mean_output=1.0, max_output=1)
    most = min(engine.about["max_model_tokens"], engine.about["kv_tokens"]) - 2 * shape.max_output
    longer = replace(
        shape, mean_input=2.0 * shape.mean_input, max_input=min(2 * shape.max_input, most)
    )
    answers = replace(shape, mean_output=2.0 * shape.mean_output, max_output=2 * shape.max_output)
    measured = _Measured(engine, alone, trace, pool)
    limits = [_limit(measured, one) for one in (shape, longer)]
    limits.append(limits[0] if pool == PREFILL else _limit(measured, answers))
    if limits[0] == 0:
        raise InvalidInput(
            f"{trace.name}: on {trace.gpu} more than {LIMIT_SHARE:.0%} of the requests miss ttft "
            f"{trace.goals.ttft_ms:g} ms or tpot {trace.goals.tpot_ms:g} ms at any rate; raise the "
            "goals or take a faster GPU"
        )
    # Requests of twice the length that are carried at no rate take at least twice the time.
    found = [limits[0], *(limit if limit > 0 else limits[0] / 2.0 for limit in limits[1:])]
    return law_of_limits(found, shape.mean_input, shape.mean_output)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What is measured: the workers of a pool, by a trace's lengths and goals."""

    engine: ReplayEngine
    alone: AloneLaw
    trace: LlmTrace
    pool: str

    @property
    def n_workers(self) -> int:
        """How many there are."""
        return _N_DECODE_WORKERS if self.pool == DECODE else _N_WORKERS

    @property
    def minutes(self) -> float:
        """How long each replay is."""
        return _MINUTES if self.pool == SERVE else _POOL_MINUTES

    @property
    def workers(self) -> int | dict[str, int]:
        """Workers of all pools."""
        if self.pool == SERVE:
            return self.n_workers
        others = dict.fromkeys((PREFILL, DECODE), _N_OTHERS * self.n_workers)
        return others | {self.pool: self.n_workers}

    def full_rps(self, shape: Shape) -> float:
        """Requests/s that a full batch of a worker would finish, at the speed of one alone."""
        first_s = float(self.alone.first_token_s(np.array([shape.mean_input]))[0])
        answer_s = shape.mean_output * self.alone.token_s
        if self.pool == PREFILL:
            return 1.0 / first_s
        if self.pool == DECODE:
            room: float = self.engine.about["kv_tokens"] / (shape.mean_input + shape.mean_output)
            return min(_DECODE_BATCH, room) / answer_s
        return 1.0 / (first_s + answer_s / _BATCH)

    def missed(self, requests: RequestList, served: ServedRequests) -> float:
        """Share of requests after the warm-up that missed what the pool keeps, beyond the floor."""
        found, goals = missed_goals(served, self.trace.goals), self.trace.goals
        goal = found.ttft if self.pool == PREFILL else found.either
        if self.pool == PREFILL:
            goals = replace(goals, tpot_ms=_NO_GOAL)
        floor = self.alone.floor(requests, goals)
        share = float(goal[requests.arrival_ms >= _WARM_MINUTES * 60e3].mean())
        # Where everything misses alone, no rate would miss more.
        return share - floor if floor + LIMIT_SHARE < 1 else 1.0


def _limit(measured: _Measured, shape: Shape) -> float:
    """Requests/s of a worker at which `LIMIT_SHARE` more of them miss than alone; 0: at none."""
    trace = measured.trace
    mix = LengthMix(
        trace.name,
        trace.requests.input_tokens / trace.shape.mean_input,
        trace.requests.output_tokens / trace.shape.mean_output,
    )
    rates = np.asarray(_RUNGS * measured.full_rps(shape), float)
    lists = [
        poisson_requests(
            float(rate) * measured.n_workers,
            measured.minutes,
            shape,
            mix,
            make_rng(7, "bench", "llm", "limit", at),
        )
        for at, rate in enumerate(rates)
    ]
    served = measured.engine.replay_each(lists, measured.workers)
    missed = [measured.missed(*both) for both in zip(lists, served, strict=True)]
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
