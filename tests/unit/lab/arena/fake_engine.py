"""An engine of a few lines: misses follow by rule, so that what is found can be reckoned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.lab.arena.engine import EngineChoice
from services.lab.arena.requests import RequestList, ServedRequests


class FakeEngine:
    """A first token takes a millisecond per token of the prompt, up to `carried` tokens a second.

    Beyond it every request waits for ten seconds, unless they are minutes apart.
    """

    def __init__(self, choice: EngineChoice, carried: float = 1000.0) -> None:
        self.choice, self.carried = choice, carried
        self.about: dict[str, Any] = {
            "packages": {"engine": "1"},
            "engine_version": "1",
            "kv_tokens": 100_000,
            "max_model_tokens": 40_000,
        }
        self.is_closed = False

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_closed = True

    def replay(self, requests: RequestList, workers: int = 1) -> ServedRequests:
        seconds = max(requests.arrival_ms[-1] / 1e3, 1.0)
        is_alone = len(requests) < 2 or np.diff(requests.arrival_ms).min() > 100_000
        is_over = requests.input_tokens.sum() / seconds / workers > self.carried and not is_alone
        ttft = requests.input_tokens * 1.0 + (10_000.0 if is_over else 0.0)
        tpot = np.where(requests.output_tokens > 1, 20.0, np.nan)
        return ServedRequests(ttft, tpot, ttft + 20.0 * (requests.output_tokens - 1))

    def replay_each(
        self, lists: Sequence[RequestList], workers: int = 1
    ) -> tuple[ServedRequests, ...]:
        return tuple(self.replay(requests, workers) for requests in lists)
