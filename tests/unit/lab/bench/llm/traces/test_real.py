"""Traces of real services, from small files of the same form; the real ones where they are."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import RequestList
from services.lab.bench.llm.traces.real import (
    AZURE_FILE,
    MOONCAKE_FILE,
    REAL,
    SERVEGEN_FILE,
    multiplied,
    real_trace,
)


def put(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """20 minutes of Azure and Mooncake, 4 days of ServeGen."""
    put(
        tmp_path / AZURE_FILE,
        ["TIMESTAMP,ContextTokens,GeneratedTokens"]
        + [f"2023-11-16 18:{m:02}:{s:02}.0000000,{m + 1},5" for m in range(20) for s in range(60)],
    )
    put(
        tmp_path / MOONCAKE_FILE,
        ["t_s,input_length,output_length,kv_blocks"]
        + [f"{3 * (at // 4)}.0,{60_000 if at % 10 == 0 else 900},{at + 1},2" for at in range(1600)],
    )
    n = 4 * 144
    start = datetime(2000, 1, 3, tzinfo=UTC)
    columns = {
        "timestamp": [start + timedelta(minutes=10 * at) for at in range(n)],
        "workload": ["m-large"] * n,
        "l1_requests_per_s": [float("nan") if at == 5 else 32.0 + at // 144 for at in range(n)],
        "l1_arrival_cv": [2.0] * n,
        "l1_token_coverage": [0.5] * n,
        "l1_input_tokens_per_s": [8000.0] * n,
        "l1_output_tokens_per_s": [800.0] * n,
    }
    pq.write_table(pa.table(columns), tmp_path / SERVEGEN_FILE)
    return tmp_path


def test_azure_is_tripled_in_place(data: Path) -> None:
    trace = real_trace("azure", data, 7)
    assert len(trace.requests) == 3 * 1200
    assert trace.until_s == pytest.approx(1199.0)
    assert sorted(set(trace.requests.input_tokens)) == list(range(1, 21))
    assert len(real_trace("azure", data, 7, rate=0.5).requests) == pytest.approx(1800, rel=0.05)


def test_mooncake_leaves_out_what_no_context_holds_and_spreads_rounded_times(data: Path) -> None:
    trace = real_trace("mooncake", data, 7)
    assert len(trace.requests) == 1440
    assert "10.0%" in trace.about
    assert np.unique(trace.requests.arrival_ms).size == 1440


def test_servegen_has_the_day_before_as_its_history(data: Path) -> None:
    trace, other = real_trace("servegen", data, 0), real_trace("servegen", data, 1)
    assert "day 1" in trace.about
    assert "day 2" in other.about
    assert trace.history is not None
    assert trace.history.arrival_ms[0] == pytest.approx(-86_400e3, rel=0.01)
    assert trace.until_s == pytest.approx(6 * 3600, rel=0.02)
    assert len(trace.requests) == pytest.approx(33 / 32 * 6 * 3600, rel=0.1)
    assert trace.requests.input_tokens.mean() == pytest.approx(8000 / 16.5, rel=0.1)


@pytest.mark.parametrize("name", REAL)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        real_trace(name, tmp_path, 7)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 3.4])
def test_a_rate_multiplies_requests_with_their_lengths(factor: float) -> None:
    n = 4000
    requests = RequestList(np.arange(n) * 1e3, np.arange(1, n + 1), np.arange(2, n + 2))
    found = multiplied(requests, factor, np.random.default_rng(1))
    assert len(found) == pytest.approx(factor * n, rel=0.05)
    assert (found.output_tokens == found.input_tokens + 1).all()
    away = np.abs(found.arrival_ms - (found.input_tokens - 1) * 1e3)
    assert away.max() <= 15_000.0
    assert found.arrival_ms.max() <= requests.arrival_ms.max()


def test_a_rate_that_leaves_nothing_is_refused() -> None:
    requests = RequestList(np.zeros(1), np.ones(1, int), np.ones(1, int))
    with pytest.raises(InvalidInput, match="leaves no request"):
        multiplied(requests, 1e-9, np.random.default_rng(1))
