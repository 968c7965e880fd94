"""In the engine's process: which requests finished, where its telemetry has their means only.

Two requests that finish between two looks are known by their mean lengths, mean TTFT and mean time
between tokens. The mean of a late and an early one hides the late one, and at a goal that one in a
hundred misses a third of the misses would not be seen. But the two sums of lengths tell which of
the requests in flight they are, and then arrival and end of each leave one solution: for each
`ttft + (tokens - 1) * tpot = end - arrival`, and both sums are known.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from services.lab.arena.replay.records import AskedRequest

Row = tuple[float | None, float | None, float, float]
"""TTFT, mean time between tokens, length of prompt and of answer."""
FORGET_MS = 600e3
"""A request that was not recognised at its end is looked for no longer than this."""
APART = 0.1
"""Answers must differ by this share: the end is known to a look, and divided by the difference."""


class FlightList:
    """Requests that have arrived and, as far as is known, not finished."""

    def __init__(self, requests: list[AskedRequest]) -> None:
        """None has arrived yet."""
        self.coming = sorted(requests, reverse=True)
        self.start_ms = self.coming[-1].arrival_ms
        self.flying: dict[tuple[int, int], list[float]] = defaultdict(list)
        self.order: deque[tuple[tuple[int, int], float]] = deque()

    def finished(self, sample: dict[str, Any]) -> list[Row]:
        """Requests that finished since the look before.

        Args:
            sample: The engine's telemetry.
        """
        self.arrive(sample["sampled_at_ms"])
        traffic = sample["traffic"]
        n_finished = traffic["completed_requests"]
        sums = round(n_finished * traffic["avg_isl"]), round(n_finished * traffic["avg_osl"])
        means = mean_rows(traffic)
        if n_finished == 1:
            self.leave(sums)
        if n_finished != 2 or traffic["ttft_count"] != 2 or traffic["itl_count"] != 2:
            return means
        pair = self.pair(*sums)
        if pair is None:
            return means
        arrivals = [self.leave(lengths) for lengths in pair]
        end_ms = (sample["interval_start_ms"] + sample["sampled_at_ms"]) / 2.0
        lasted = end_ms - arrivals[0], end_ms - arrivals[1]
        return (
            solved(pair, lasted, (2 * traffic["avg_ttft_ms"], 2 * traffic["avg_itl_ms"])) or means
        )

    def arrive(self, now_ms: float) -> None:
        """Take in what has arrived; forget what came long ago."""
        while self.coming and self.coming[-1].arrival_ms - self.start_ms <= now_ms:
            request = self.coming.pop()
            lengths = request.n_input, request.n_output
            arrival_ms = request.arrival_ms - self.start_ms
            self.flying[lengths].append(arrival_ms)
            self.order.append((lengths, arrival_ms))
        while self.order and self.order[0][1] < now_ms - FORGET_MS:
            lengths, arrival_ms = self.order.popleft()
            if arrival_ms in self.flying.get(lengths, []):
                self.leave(lengths)

    def leave(self, lengths: tuple[int, int]) -> float:
        """The arrival of one of these lengths that finished, the earliest; NaN if there is none."""
        arrivals = self.flying.get(lengths)
        if not arrivals:
            return float("nan")
        arrival_ms = arrivals.pop(0)
        if not arrivals:
            del self.flying[lengths]
        return arrival_ms

    def pair(self, n_input: int, n_output: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The two in flight whose lengths sum up to these, if only two do."""
        found = set()
        for one in self.flying:
            other = n_input - one[0], n_output - one[1]
            arrivals = self.flying.get(other)
            if arrivals and (other != one or len(arrivals) > 1):
                found.add((min(one, other), max(one, other)))
        return found.pop() if len(found) == 1 else None


def mean_rows(traffic: dict[str, Any]) -> list[Row]:
    """Each finished request with the means of all."""
    return [
        (
            traffic["avg_ttft_ms"] if at < traffic["ttft_count"] else None,
            traffic["avg_itl_ms"] if at < traffic["itl_count"] else None,
            traffic["avg_isl"],
            traffic["avg_osl"],
        )
        for at in range(traffic["completed_requests"])
    ]


def solved(
    pair: tuple[tuple[int, int], tuple[int, int]],
    lasted: tuple[float, float],
    sums: tuple[float, float],
) -> list[Row] | None:
    """TTFT and time between tokens of two requests, from how long each lasted and both sums.

    None where the equations are too close to each other, or what comes out is no time.
    """
    (one_input, one_output), (other_input, other_output) = pair
    if abs(one_output - other_output) < APART * max(one_output, other_output):
        return None
    ttft_sum, tpot_sum = sums
    known = lasted[0] + lasted[1] - ttft_sum - tpot_sum * (other_output - 1)
    tpot = known / (one_output - other_output)
    ttft = lasted[0] - tpot * (one_output - 1)
    rows: list[Row] = [
        (ttft, tpot, float(one_input), float(one_output)),
        (ttft_sum - ttft, tpot_sum - tpot, float(other_input), float(other_output)),
    ]
    return rows if all(min(row[0] or 0.0, row[1] or 0.0) > 0 for row in rows) else None
