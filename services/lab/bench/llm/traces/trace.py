"""A trace of requests, what its service promises, and which part of it is scored."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import RequestList, Shape

SETTLE_S = 300.0
"""Seconds after the first start-ups have ended that are never scored."""


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
