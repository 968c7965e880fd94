"""Requests as an engine gets them: arrival, length of prompt and answer; made by a seed."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.kernel.errors import InvalidInput

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COLUMNS = (("ContextTokens", "GeneratedTokens"), ("input_length", "output_length"))
"""Names that request traces give to the two lengths: Azure's, Mooncake's and the engine's own."""
LOG_SPREAD_INPUT, LOG_SPREAD_OUTPUT = 0.99, 0.86
"""Standard deviations of the lengths' logarithms in the conversations of Azure's trace of 2023."""


@dataclass(frozen=True, slots=True)
class RequestList:
    """Requests in order of arrival.

    Attributes:
        arrival_ms: (N,) milliseconds from the start, not falling.
        input_tokens: (N,) length of the prompt, >= 1.
        output_tokens: (N,) length of the answer, >= 1.
        prefix: Of each request the ids of the leading blocks of 512 tokens of its prompt: equal
            ids are equal text, which an engine may have in its cache. Further blocks are its own.
            None: no two prompts share any.
    """

    arrival_ms: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    prefix: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what no engine can serve, at the door."""
        shapes = {self.arrival_ms.shape, self.input_tokens.shape, self.output_tokens.shape}
        if len(shapes) != 1 or self.arrival_ms.ndim != 1 or self.arrival_ms.size == 0:
            raise InvalidInput(
                f"requests have columns of shapes {shapes}, must be one (N,), N >= 1"
            )
        if not np.isfinite(self.arrival_ms).all() or (np.diff(self.arrival_ms) < 0).any():
            raise InvalidInput("arrival_ms must be finite and must not fall: sort the requests")
        for name in ("input_tokens", "output_tokens"):
            least = int(getattr(self, name).min())
            if least < 1:
                raise InvalidInput(f"{name}={least}: a request has at least one token")
        if self.prefix is not None and len(self.prefix) != self.arrival_ms.size:
            raise InvalidInput(
                f"prefix has {len(self.prefix)} rows, must be one of each of "
                f"{self.arrival_ms.size} requests"
            )

    @property
    def shared_blocks(self) -> tuple[tuple[int, ...], ...]:
        """Of each request the ids of its leading blocks; none where no prompts share any."""
        return ((),) * len(self) if self.prefix is None else self.prefix

    def __len__(self) -> int:
        """How many requests there are."""
        return int(self.arrival_ms.size)


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """What requests felt; NaN where a request was refused or never finished.

    Attributes:
        ttft_ms: (N,) time to the first token.
        tpot_ms: (N,) mean time between tokens of the request; NaN too where it had but one.
        e2e_ms: (N,) time to the last token.
    """

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    e2e_ms: FloatArray


@dataclass(frozen=True, slots=True)
class LengthMix:
    """Pairs of lengths that requests are drawn from, relative to their means.

    Attributes:
        source: Where they are from, for the record.
        input_ratio: (K,) lengths of prompts over their mean.
        output_ratio: (K,) lengths of the same requests' answers over their mean.
    """

    source: str
    input_ratio: FloatArray
    output_ratio: FloatArray


@dataclass(frozen=True, slots=True)
class Shape:
    """What the requests of a service look like.

    Attributes:
        mean_input: Tokens of a prompt on average.
        mean_output: Tokens of an answer on average.
        max_input: Longest prompt that is let in; a longer one is cut.
        max_output: Longest answer.
    """

    mean_input: float
    mean_output: float
    max_input: int = 16_000
    max_output: int = 4_000


def lognormal_mix(n_pairs: int = 4096) -> LengthMix:
    """Log-normal lengths, independent, as spread as Azure's conversations: quantiles, no chance."""
    from scipy.special import ndtri

    grid = ndtri((np.arange(n_pairs) + 0.5) / n_pairs)
    # A fixed permutation pairs the two: a multiplier prime to n_pairs walks through all of them.
    paired = grid[np.arange(n_pairs) * _walk(n_pairs) % n_pairs]
    inputs, outputs = np.exp(LOG_SPREAD_INPUT * grid), np.exp(LOG_SPREAD_OUTPUT * paired)
    source = f"log-normal, log spreads {LOG_SPREAD_INPUT} and {LOG_SPREAD_OUTPUT}"
    return LengthMix(source, inputs / inputs.mean(), outputs / outputs.mean())


def _walk(n: int) -> int:
    step = int(n * 0.6180339887)
    while math.gcd(step, n) != 1:
        step += 1
    return step


def read_mix(path: Path) -> LengthMix:
    """Lengths of a trace of requests: a CSV, also gzipped, with one of `COLUMNS`.

    Raises:
        InvalidInput: The file cannot be read, lacks the columns or holds a length under 1.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InvalidInput(f"--lengths={path}: {error.strerror or error}") from error
    names = next((pair for pair in COLUMNS if rows and set(pair) <= set(rows[0])), None)
    if names is None:
        known = " or ".join(" and ".join(pair) for pair in COLUMNS)
        raise InvalidInput(f"--lengths={path}: needs a heading with the columns {known}")
    try:
        found = np.array([[float(row[name]) for name in names] for row in rows])
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"--lengths={path}: lengths must be numbers: {error}") from error
    if not np.isfinite(found).all() or (found < 1).any():
        raise InvalidInput(f"--lengths={path}: lengths must be finite and >= 1")
    means = found.mean(axis=0)
    return LengthMix(path.name, found[:, 0] / means[0], found[:, 1] / means[1])


def poisson_requests(
    rate: float, minutes: float, shape: Shape, mix: LengthMix, rng: np.random.Generator
) -> RequestList:
    """Poisson arrivals at `rate` requests/s for some minutes, lengths drawn from the mix.

    At least one request arrives, the first at 0: the engine counts from it.
    """
    n_expected = rate * minutes * 60.0
    n_drawn = int(n_expected + 6.0 * math.sqrt(n_expected) + 10)
    arrival_ms = np.cumsum(rng.exponential(1e3 / rate, n_drawn)) - 1e-9
    arrival_ms = np.concatenate([[0.0], arrival_ms[arrival_ms < minutes * 60e3]])
    pairs = rng.integers(0, mix.input_ratio.size, arrival_ms.size)
    inputs = np.rint(mix.input_ratio[pairs] * shape.mean_input).astype(np.int64)
    outputs = np.rint(mix.output_ratio[pairs] * shape.mean_output).astype(np.int64)
    return RequestList(
        arrival_ms, np.clip(inputs, 1, shape.max_input), np.clip(outputs, 1, shape.max_output)
    )
