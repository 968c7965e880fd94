"""The largest rate of requests that one replica carries within a share of misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.kernel.clock import make_rng
from services.lab.arena.alone import AloneLaw
from services.lab.arena.engine import ReplayEngine
from services.lab.arena.goals import MissedGoals, RequestGoals, missed_goals
from services.lab.arena.requests import FloatArray, LengthMix, RequestList, Shape, poisson_requests

_COARSE, _FINE = 1.35, 1.05
_N_COARSE = 10
_MAX_LADDERS = 4


@dataclass(frozen=True, slots=True)
class LimitSearch:
    """How a limit is looked for: a ladder of rates in steps of 35 %, then one in steps of 5 %.

    Attributes:
        share: Misses that are tolerated, beyond those of a request alone.
        minutes: Length of each replay, with its first minutes.
        warm_minutes: First minutes that are not counted.
        seed: Seed of arrivals and lengths.
    """

    share: float
    minutes: float = 10.0
    warm_minutes: float = 2.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What was found.

    Attributes:
        rate: Requests/s that one replica carried within the share.
        floor: Share of its requests that would miss a goal alone.
        missed_ttft: Share that waited too long at the next higher rate.
        missed_tpot: Share whose tokens came too slowly there.
    """

    rate: float
    floor: float
    missed_ttft: float
    missed_tpot: float


@dataclass(frozen=True, slots=True)
class _Rung:
    rate: float
    floor: float
    missed: MissedGoals
    counted: slice

    def keeps(self, share: float) -> bool:
        tolerated = self.floor + share
        # Where everything misses alone no rate is within the share: all of them would seem to be.
        return tolerated < 1 and float(self.missed.either[self.counted].mean()) <= tolerated


class LimitFinder:
    """Looks for limits on one engine."""

    def __init__(self, engine: ReplayEngine, alone: AloneLaw, goals: RequestGoals) -> None:
        """Look on `engine`, whose times alone are `alone`."""
        self._engine, self._alone, self._goals = engine, alone, goals

    def find(self, shape: Shape, mix: LengthMix, search: LimitSearch) -> RateLimit:
        """The largest rate within the share, below the first that is over it.

        It is 0 where the lowest rate tried is already over it.
        """
        first = 0.15 * self._guess(shape)
        for _ in range(_MAX_LADDERS):
            coarse = self._ladder(_rates(first, _COARSE, range(_N_COARSE)), shape, mix, search)
            at = _first_over(coarse, search.share)
            if 0 < at < len(coarse):
                break
            first *= _COARSE ** (_N_COARSE - 2) if at else _COARSE ** (2 - _N_COARSE)
        if at == 0 or at == len(coarse):
            return self._limit(coarse, at)
        n_fine = round(np.log(_COARSE) / np.log(_FINE))
        between = _rates(coarse[at - 1].rate, _FINE, range(1, n_fine))
        fine = [coarse[at - 1], *self._ladder(between, shape, mix, search), coarse[at]]
        return self._limit(fine, max(1, _first_over(fine, search.share)))

    def _limit(self, rungs: Sequence[_Rung], at: int) -> RateLimit:
        over = rungs[min(at, len(rungs) - 1)]
        return RateLimit(
            rate=rungs[at - 1].rate if at else 0.0,
            floor=over.floor,
            missed_ttft=float(over.missed.ttft[over.counted].mean()),
            missed_tpot=float(over.missed.tpot[over.counted].mean()),
        )

    def _guess(self, shape: Shape) -> float:
        first = float(self._alone.first_token_s(np.array([shape.mean_input]))[0])
        return 0.7 / (first + shape.mean_output * self._alone.token_s / 16.0)

    def _ladder(
        self, rates: FloatArray, shape: Shape, mix: LengthMix, search: LimitSearch
    ) -> list[_Rung]:
        lists = [
            poisson_requests(
                float(rate), search.minutes, shape, mix, make_rng(search.seed, shape, "limit")
            )
            for rate in rates
        ]
        served = self._engine.replay_each(lists)
        return [
            _Rung(
                float(rate),
                self._alone.floor(requests, self._goals),
                missed_goals(one, self._goals),
                _after(requests, search.warm_minutes),
            )
            for rate, requests, one in zip(rates, lists, served, strict=True)
        ]


def _rates(first: float, step: float, powers: range) -> FloatArray:
    # Requests are drawn by the rate to its last digit: another way to multiply is another table.
    return np.asarray(first * step ** np.array(powers), np.float64)


def _first_over(rungs: Sequence[_Rung], share: float) -> int:
    return next((at for at, rung in enumerate(rungs) if not rung.keeps(share)), len(rungs))


def _after(requests: RequestList, minutes: float) -> slice:
    first = int((requests.arrival_ms < minutes * 60e3).sum())
    return slice(min(first, len(requests) - 1), None)
