"""The benchmark on the real engine, where `make arena` was run: small, and its figures checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import Unavailable
from services.lab.arena.engine import arena_python
from services.lab.arena.requests import lognormal_mix
from services.lab.bench.llm.bench import LlmBench, bench_llm
from services.lab.bench.llm.cells import Part
from services.lab.bench.llm.families import FAMILIES
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.traces.arrivals import poisson_s, with_lengths
from services.lab.bench.llm.traces.load import TraceChoice
from services.lab.bench.llm.traces.made import CONVERSATION
from services.lab.bench.llm.traces.trace_file import write_requests

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skips where the engine is not installed."""
    try:
        arena_python()
    except Unavailable as error:
        pytest.skip(error.message)


def test_two_traces_and_three_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_MINUTES", 4.0)
    monkeypatch.setattr(capacity, "_N_WORKERS", 2)
    for name, settings in (("fixed", (0.8, 2.4)), ("trail", (0.8, 2.4)), ("hpa", (22.0, 3.0))):
        monkeypatch.setitem(FAMILIES, name, replace(FAMILIES[name], settings=settings))
    traces = []
    for name, rates in (("flat", [4.0, 4.0]), ("rise", [2.0, 6.0])):
        rng = np.random.default_rng(7)
        rate = np.interp(np.arange(960), [660, 780], rates)
        requests = with_lengths(poisson_s(rate, rng), CONVERSATION, lognormal_mix(), rng)
        traces.append(TraceChoice(str(tmp_path / f"{name}.jsonl")))
        write_requests(Path(traces[-1].name), requests)
    run = LlmBench(tuple(traces), (60.0,), ("fixed", "hpa", "trail"), (0.95, 0.99))
    document, cells = bench_llm(run, KeptRuns(), lambda _text: None)
    assert [cell.trace for cell in cells] == ["flat", "rise"]
    assert len(document["runs"]) == 2 * 3 * 2
    for cell in cells:
        for policy in ("fixed", "trail"):
            lean, rich = cell.points(policy, Part.WHOLE, [7]).values()
            assert rich.goodput > 0.95
            assert lean.goodput <= rich.goodput
            assert lean.gpu_hours < rich.gpu_hours
    for row in document["runs"]:
        assert 0 <= row["goodput"] <= 1
        assert row["gpu_hours"] > 0
