"""A trace of requests, what its service promises, and which part of it is scored."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import RequestList, Shape

SETTLE_S = 300.0
"""Seconds after the first start-ups have ended that are never scored."""

LEAST_MINUTES = 2
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class LlmTrace:
    """Requests of one service.

    Attributes:
        name: Its name, or the file's.
        requests: From the start of the warm-up on, the first at 0 ms or later.
        goals: What a request is promised.
        gpu: GPU type of a replica.
        max_workers: Replicas that there are at most.
        warm_s: Seconds at the start that are not scored.
        history: Requests before: their times are negative, 0 being the start of the warm-up. None
            where there are none.
        about: Where it is from and what was done to it.
    """

    name: str
    requests: RequestList
    goals: RequestGoals
    gpu: str
    max_workers: int
    warm_s: float
    history: RequestList | None = field(default=None, repr=False)
    about: str = ""

    def __post_init__(self) -> None:
        """Refuse a trace of which nothing could be scored."""
        if self.requests.arrival_ms[0] < 0:
            raise InvalidInput(f"{self.name}: requests must not arrive before the warm-up's start")
        if self.history is not None and self.history.arrival_ms[-1] >= 0:
            raise InvalidInput(f"{self.name}: history must end before the warm-up's start")
        if self.until_s <= self.warm_s:
            raise InvalidInput(
                f"{self.name}: {self.until_s:.0f} s of requests, must be longer than the "
                f"{self.warm_s:.0f} s that are not scored"
            )

    @property
    def until_s(self) -> float:
        """The end of the scored part: the last arrival."""
        return float(self.requests.arrival_ms[-1]) / 1e3

    @property
    def shape(self) -> Shape:
        """Mean and largest lengths of its requests."""
        inputs, outputs = self.requests.input_tokens, self.requests.output_tokens
        return Shape(
            float(inputs.mean()), float(outputs.mean()), int(inputs.max()), int(outputs.max())
        )

    def scored_from_s(self, startup_s: float) -> float:
        """Where scoring starts: after the warm-up, and once first start-ups have settled."""
        start = max(self.warm_s, startup_s + SETTLE_S)
        if start >= self.until_s:
            raise InvalidInput(
                f"{self.name}: {self.until_s:.0f} s of requests, of which the first {start:.0f} s "
                f"cannot be scored at a start-up of {startup_s:g} s"
            )
        return start

    def scored_minutes(self, startup_s: float) -> tuple[int, int]:
        """The first minute that is scored and the first that is not any more.

        The last one begun is no whole one. There are two at least: settings are chosen on the first
        half and judged by the second.

        Raises:
            InvalidInput: There are fewer.
        """
        start = self.scored_from_s(startup_s)
        first, last = math.ceil(start / _MINUTE_S), int(self.until_s // _MINUTE_S)
        if last - first < LEAST_MINUTES:
            raise InvalidInput(
                f"{self.name}: {self.until_s:.0f} s of requests leave {max(0, last - first)} whole "
                f"minutes after the first {start:.0f} s, which are not scored; must be "
                f"{LEAST_MINUTES} or more"
            )
        return first, last

    def check_halves(self, startup_s: float) -> None:
        """Refuse a trace of which half of what is scored has no request: it has no goodput.

        Raises:
            InvalidInput: It is so.
        """
        first, last = self.scored_minutes(startup_s)
        edges = np.array([first, (first + last) // 2, last]) * _MINUTE_S * 1e3
        for start, end in pairwise(np.searchsorted(self.requests.arrival_ms, edges).tolist()):
            if start == end:
                raise InvalidInput(
                    f"{self.name}: half of the scored minutes {first} to {last} has no request"
                )

    @property
    def before(self) -> LlmTrace:
        """The requests before any that is scored: all that a service is known by when it starts.

        History and warm-up; of a warm-up without requests the first one after it.
        """
        own, earlier = self.requests, self.history
        n_own = max(1, int(np.searchsorted(own.arrival_ms, self.warm_s * 1e3)))
        parts = [(own, n_own)] if earlier is None else [(earlier, len(earlier)), (own, n_own)]
        arrival_ms, inputs, outputs = (
            np.concatenate([getattr(part, name)[:n] for part, n in parts])
            for name in ("arrival_ms", "input_tokens", "output_tokens")
        )
        requests = RequestList(arrival_ms - arrival_ms[0] + 1.0, inputs, outputs)
        return replace(self, requests=requests, warm_s=0.0, history=None)

    def check_fits(self, n_tokens: int) -> None:
        """Refuse requests that no replica could hold, whichever policy scales it.

        Args:
            n_tokens: Tokens of prompt and answer that fit a replica.

        Raises:
            InvalidInput: One is longer.
        """
        length = self.requests.input_tokens + self.requests.output_tokens
        longest = int(length.argmax())
        if length[longest] > n_tokens:
            raise InvalidInput(
                f"{self.name}: request {longest + 1} has {self.requests.input_tokens[longest]} + "
                f"{self.requests.output_tokens[longest]} tokens, a replica on {self.gpu} holds "
                f"{n_tokens}"
            )
