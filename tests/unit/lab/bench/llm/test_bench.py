"""The whole benchmark on a stand-in engine, and what bad input gets before anything is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.engine import EngineChoice
from services.lab.bench.llm import bench
from services.lab.bench.llm.bench import LlmBench, bench_llm
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.traces.load import TraceChoice, load_trace
from services.lab.bench.llm.traces.trace_file import write_requests
from tests.unit.lab.bench.llm.queue_engine import GOALS, QueueEngine, small_trace

GOODPUTS = (0.95, 0.99)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A trace of twenty minutes; engines are stand-ins."""
    monkeypatch.setattr(bench, "ReplayEngine", QueueEngine)
    monkeypatch.setattr(capacity, "_MINUTES", 6.0)
    path = tmp_path / "mine.jsonl"
    write_requests(path, small_trace(minutes=20).requests)
    return str(path)


def small_bench(file: str, **changed: object) -> LlmBench:
    fields = {
        "traces": (TraceChoice(file, goals=GOALS),),
        "startups_s": (30.0,),
        "policies": ("trail", "fixed"),
        "goodputs": GOODPUTS,
    }
    return LlmBench(**{**fields, **changed})  # type: ignore[arg-type]


def test_a_document_of_runs_and_figures(file: str, tmp_path: Path) -> None:
    kept = KeptRuns(tmp_path / "kept")
    document, cells = bench_llm(small_bench(file), kept, lambda _text: None)
    assert set(document) == {"runs", "summary", "deployed", "about"}
    assert len(document["runs"]) == 16
    assert set(document["runs"][0]) == {
        "trace", "startup_s", "gpu", "mode", "policy", "setting", "seed",
        "gpu_hours", "goodput", "minutes_out_of_sla", "scale_events", "cpu", "warm_up",
    }  # fmt: skip
    assert set(document["summary"]) == {"0.95", "0.99"}
    assert document["summary"]["0.99"]["cells"][0]["simple_chosen"]
    assert document["deployed"]["goodput_min"] is None
    assert document["about"]["traces"]["mine, seed 7"]["requests"] > 1000
    again, _ = bench_llm(small_bench(file), kept, lambda _text: None)
    assert again == document
    assert [cell.trace for cell in cells] == ["mine"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"policies": ("best",)}, "--policies=best: must be of harmony"),
        ({"mode": "both"}, "--mode=both: must be one of aggregated, disaggregated"),
        ({"startups_s": (-1.0,)}, "--startup=-1 must be >= 0"),
        ({"startups_s": (4000.0,)}, "cannot be scored at a start-up of 4000 s"),
        ({"goodputs": (1.0,)}, r"--goodput=1 must lie in \(0, 1\)"),
        ({"promises": (0.99, 1.5)}, r"--promise=1.5 must lie in \(0, 1\)"),
        ({"promises": ()}, "--promise must name at least one share"),
        ({"traces": ()}, "must each name at least one"),
        ({"traces": (TraceChoice("azure"),)}, "needs the public traces"),
        ({"router": "best"}, "--router=best: must be one of round_robin, kv_router"),
    ],
)
def test_bad_input_is_refused(file: str, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        bench_llm(small_bench(file, **changed), KeptRuns(), lambda _text: None)


HELD = {"h100_sxm": 24_960, "h200_sxm": 40_960, "b200_sxm": 40_960}
"""Tokens that a replica holds."""


def prior_gpu(file: str, gpu: str, longest: int, held: Mapping[str, int]) -> str:
    """GPU type that the prior of a trace is of."""
    measured: list[str] = []

    def engine(choice: EngineChoice) -> QueueEngine:
        found = QueueEngine(choice)
        found.about = {**found.about, "kv_tokens": held[choice.gpu]}
        return found

    def laws(engine: QueueEngine, *_others: object) -> bench.PoolLaws:
        measured.append(engine.choice.gpu)
        return {}

    trace = load_trace(TraceChoice(file, goals=GOALS, gpu=gpu), 7)
    trace.requests.input_tokens[3] = longest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "ReplayEngine", engine)
        patch.setattr(bench, "work_laws", laws)
        bench.prior_laws(small_bench(file), trace, KeptRuns(), lambda _text: None)
    return measured[0]


@pytest.mark.parametrize(
    ("gpu", "longest", "prior"),
    [
        ("h200_sxm", 500, "h100_sxm"),
        ("h100_sxm", 500, "h200_sxm"),
        ("a100_sxm", 500, "h100_sxm"),
        ("h200_sxm", 30_000, "b200_sxm"),  # Mooncake: an H100 holds no such prompt
        ("b200_sxm", 30_000, "h200_sxm"),
    ],
)
def test_the_prior_is_of_another_gpu_that_holds_each_request(
    file: str, gpu: str, longest: int, prior: str
) -> None:
    assert prior_gpu(file, gpu, longest, HELD) == prior


def test_a_request_that_no_other_gpu_holds_is_said(file: str) -> None:
    with pytest.raises(InvalidInput, match=r"h100_sxm or b200_sxm holds, .* harmony_told"):
        prior_gpu(file, "h200_sxm", 30_000, dict.fromkeys(HELD, 24_960))


def test_an_over_long_request_is_named(file: str) -> None:
    path = Path(file)
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace('"input_length": 500', '"input_length": 50000')
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match="mine: request 4 has 50000"):
        bench_llm(small_bench(file), KeptRuns(), lambda _text: None)
