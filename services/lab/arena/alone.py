"""A request alone on a replica: what its lengths cost where nobody else is served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.lab.arena.engine import ReplayEngine
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import FloatArray, RequestList

APART_MS = 1e6
INPUTS = (16, 64, 128, 256, 512, 1000, 2000, 4000, 6000, 8000, 10_000, 13_000, 16_000)
OUTPUTS = (2, 64, 512, 4000)


@dataclass(frozen=True, slots=True)
class AloneLaw:
    """Times of a request on an empty replica.

    Attributes:
        input_tokens: (I,) lengths of prompts that were tried.
        ttft_s: (I,) seconds to the first token with each.
        token_s: Seconds of each further token, on average.
    """

    input_tokens: FloatArray
    ttft_s: FloatArray
    token_s: float

    def first_token_s(self, input_tokens: FloatArray) -> FloatArray:
        """(N,) seconds to the first token."""
        return np.interp(input_tokens, self.input_tokens, self.ttft_s)

    def kv_token_s(self, requests: RequestList) -> FloatArray:
        """(N,) KV space x time that each would hold alone, tokens x seconds."""
        residence = self.first_token_s(requests.input_tokens.astype(np.float64))
        residence = residence + self.token_s * (requests.output_tokens - 1)
        return residence * (requests.input_tokens + requests.output_tokens / 2.0)

    def floor(self, requests: RequestList, goals: RequestGoals) -> float:
        """Share of requests that would miss a goal alone."""
        if self.token_s * 1e3 > goals.tpot_ms:
            return 1.0
        first = self.first_token_s(requests.input_tokens.astype(np.float64))
        return float((first * 1e3 > goals.ttft_ms).mean())


def measure_alone(engine: ReplayEngine) -> AloneLaw:
    """Serve single requests, one after the other, of every length of prompt and answer."""
    longest = min(engine.about["max_model_tokens"], engine.about["kv_tokens"])
    pairs = [(i, o) for i in INPUTS for o in OUTPUTS if i + o + 64 < longest]
    inputs, outputs = np.array(pairs, np.int64).T
    alone = RequestList(np.arange(len(pairs), dtype=np.float64) * APART_MS, inputs, outputs)
    served = engine.replay(alone)
    tried = np.unique(inputs)
    first = np.array([served.ttft_ms[inputs == length].mean() for length in tried])
    return AloneLaw(tried.astype(np.float64), first / 1e3, float(np.nanmean(served.tpot_ms) / 1e3))
