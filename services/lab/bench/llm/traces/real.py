"""Traces of real services, from the files that `docs/benchmarks/llm.md` names.

A seed draws what a recording leaves open: where copies of a request fall, where in a rounded time
it came, and for ServeGen which of its days and which requests at its rates.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import FloatArray, IntArray, RequestList, lognormal_mix
from services.lab.bench.llm.traces.arrivals import arrivals_s
from services.lab.bench.llm.traces.made import FAST, MAX_WORKERS, SLOW, WARM_S, split_at
from services.lab.bench.llm.traces.trace import LlmTrace

AZURE_FILE = "raw/azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz"
MOONCAKE_FILE = "raw/mooncake/conversation_requests.csv.gz"
SERVEGEN_FILE = "servegen.parquet"
AZURE_RATE = 3.0
NEAR_S = 15.0
"""Copies of a request fall within this many seconds of it."""
MOONCAKE_GOALS = RequestGoals(5000.0, 100.0)
MOONCAKE_STEP_MS = 3000.0
"""The recording rounds times down to this."""
MOONCAKE_WINDOW = 32_768
"""Tokens that Qwen3-32B was made for; the 7 % of the requests that are longer are left out.

Of prompts just below the engine's limit of 40,960 one takes over 5 s alone: no policy helps it.
"""
SERVEGEN_RATE = 1.0 / 32.0
WINDOW_S, HOUR_S, DAY_S = 600, 3600, 86_400
MORNING_H, N_HOURS = 7, 5
MAX_CV = 8.0
"""Gaps vary at most so: at rates this low a burst of one client would last for hours."""
_RATE, _CV, _COVERAGE, _INPUT, _OUTPUT = _WINDOWS = (
    "l1_requests_per_s",
    "l1_arrival_cv",
    "l1_token_coverage",
    "l1_input_tokens_per_s",
    "l1_output_tokens_per_s",
)
AZURE, MOONCAKE, SERVEGEN = REAL = ("azure", "mooncake", "servegen")


def real_trace(name: str, data_dir: Path, seed: int, rate: float = 1.0) -> LlmTrace:
    """One of `REAL`.

    Args:
        name: Which.
        data_dir: Folder of the public traces.
        seed: Seed of what the recording leaves open.
        rate: What its usual rate is multiplied by.

    Raises:
        InvalidInput: Its file is not there.
    """
    rng = make_rng(seed, "bench", "llm", name)
    load = {AZURE: azure, MOONCAKE: mooncake, SERVEGEN: servegen}[name]
    return load(data_dir, seed, rate, rng)


def azure(data_dir: Path, _seed: int, rate: float, rng: np.random.Generator) -> LlmTrace:
    """Azure's conversations of 16 November 2023, 58 minutes, each request three times."""
    table = _csv(data_dir / AZURE_FILE, ("TIMESTAMP", "ContextTokens", "GeneratedTokens"))
    stamps = np.array(table["TIMESTAMP"], "datetime64[ns]")
    times_ms = (stamps - stamps[0]).astype(np.float64) / 1e6
    requests = multiplied(
        RequestList(times_ms, _lengths(table, "ContextTokens"), _lengths(table, "GeneratedTokens")),
        AZURE_RATE * rate,
        rng,
    )
    about = f"Azure LLM 2023 conversations, {AZURE_RATE * rate:g} requests for each"
    return LlmTrace(AZURE, requests, FAST, "h200_sxm", MAX_WORKERS, WARM_S, about=about)


def mooncake(data_dir: Path, _seed: int, rate: float, rng: np.random.Generator) -> LlmTrace:
    """Mooncake's conversations, 59 minutes; times spread over the 3 s that they are rounded to."""
    table = _csv(data_dir / MOONCAKE_FILE, ("t_s", "input_length", "output_length"))
    inputs, outputs = _lengths(table, "input_length"), _lengths(table, "output_length")
    fits = inputs + outputs <= MOONCAKE_WINDOW
    times_ms = np.array(table["t_s"], np.float64)[fits] * 1e3
    times_ms = times_ms + rng.uniform(0.0, MOONCAKE_STEP_MS, times_ms.size)
    order = np.argsort(times_ms, kind="stable")
    requests = RequestList(times_ms[order], inputs[fits][order], outputs[fits][order])
    about = (
        f"Mooncake conversations without the {1 - fits.mean():.1%} over {MOONCAKE_WINDOW} tokens"
    )
    return LlmTrace(
        MOONCAKE,
        multiplied(requests, rate, rng),
        MOONCAKE_GOALS,
        "h200_sxm",
        MAX_WORKERS,
        WARM_S,
        about=about,
    )


def servegen(data_dir: Path, seed: int, rate: float, rng: np.random.Generator) -> LlmTrace:
    """Five hours of a morning of ServeGen's m-large, after the day before; the seed picks the day.

    Requests are made: their rate, the coefficient of variation of their gaps and their mean lengths
    are those of each ten minutes; lengths are log-normal around the means.
    """
    path = data_dir / SERVEGEN_FILE
    _check_there(path)
    rows = pq.read_table(path, columns=list(_WINDOWS), filters=[("workload", "=", "m-large")])
    table = {name: _filled(rows[name].to_numpy()) for name in _WINDOWS}
    per_day = DAY_S // WINDOW_S
    day = 1 + seed % (rows.num_rows // per_day - 1)
    first = day * per_day + MORNING_H * HOUR_S // WINDOW_S - HOUR_S // WINDOW_S
    last = first + (N_HOURS + 1) * HOUR_S // WINDOW_S
    part = {name: values[first - per_day : last] for name, values in table.items()}
    whole = _at_rates(part, SERVEGEN_RATE * rate, rng)
    history, requests = split_at(whole, float(DAY_S))
    about = f"ServeGen m-large, day {day} from {MORNING_H:02d}:00, rates x {SERVEGEN_RATE * rate:g}"
    return LlmTrace(SERVEGEN, requests, SLOW, "a100_sxm", MAX_WORKERS, HOUR_S, history, about)


def multiplied(requests: RequestList, factor: float, rng: np.random.Generator) -> RequestList:
    """Each request `factor` times on average; copies fall at random near it, its lengths kept."""
    if not 0 < factor < float("inf"):
        raise InvalidInput(f"--rate={factor:g} must be > 0")
    n_each = np.floor(factor) + (rng.random(len(requests)) < factor % 1.0)
    which = np.repeat(np.arange(len(requests)), n_each.astype(int))
    if which.size == 0:
        raise InvalidInput(f"--rate={factor:g} leaves no request")
    is_copy = np.concatenate([[False], which[1:] == which[:-1]])
    times_ms = requests.arrival_ms[which]
    end_ms = float(requests.arrival_ms[-1])
    moved = times_ms + rng.uniform(-NEAR_S * 1e3, NEAR_S * 1e3, which.size)
    # What falls over an end is folded back: cut off, the first and last seconds would be thin.
    moved = end_ms - np.abs(end_ms - np.abs(moved))
    times_ms = np.where(is_copy, moved, times_ms)
    order = np.argsort(times_ms, kind="stable")
    which, shared = which[order], requests.prefix
    return RequestList(
        times_ms[order],
        requests.input_tokens[which],
        requests.output_tokens[which],
        prefix=None if shared is None else tuple(shared[at] for at in which),
    )


def _at_rates(
    windows: dict[str, FloatArray], factor: float, rng: np.random.Generator
) -> RequestList:
    """Requests of ten-minute windows."""
    rates = windows[_RATE]
    cv = np.minimum(windows[_CV], MAX_CV)
    times_s = arrivals_s(np.repeat(rates * factor, WINDOW_S), np.repeat(cv, WINDOW_S), rng)
    window = np.minimum((times_s / WINDOW_S).astype(int), rates.size - 1)
    known_rate = rates * windows[_COVERAGE]
    mix = lognormal_mix()
    pairs = rng.integers(0, mix.input_ratio.size, times_s.size)

    def lengths(column: str, ratio: FloatArray, most: int) -> IntArray:
        means = windows[column] / known_rate
        drawn = np.clip(np.rint(means[window] * ratio[pairs]), 1, most)
        return np.asarray(drawn, np.int64)

    return RequestList(
        times_s * 1e3,
        lengths(_INPUT, mix.input_ratio, 16_000),
        lengths(_OUTPUT, mix.output_ratio, 4_000),
    )


def _filled(values: FloatArray) -> FloatArray:
    """(T,) holes of the recording filled between their neighbours: requests are made by it."""
    at, known = np.arange(values.size), np.isfinite(values)
    return np.interp(at, at[known], values[known])


def _lengths(table: dict[str, list[str]], column: str) -> IntArray:
    return np.array(table[column], np.float64).astype(np.int64)


def _csv(path: Path, columns: tuple[str, ...]) -> dict[str, list[str]]:
    """Columns of a gzipped CSV."""
    _check_there(path)
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in columns}


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InvalidInput(f"{path}: no such file; docs/benchmarks/llm.md says where it is from")
