"""The whole benchmark on a stand-in engine, and what bad input gets before anything is run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import SERVE
from services.lab.bench.llm import bench
from services.lab.bench.llm.bench import LlmBench, bench_llm
from services.lab.bench.llm.keep import SOURCE, KeptRuns
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm.traces.load import TraceChoice, load_trace
from services.lab.bench.llm.traces.trace import LlmTrace
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
        ({"goodputs": ()}, "--goodput must name at least one share"),
        ({"goodputs": (0.99, 0.95, 0.99)}, "--goodput: 0.99 is named twice"),
        ({"startups_s": (60.0, 60.0)}, "--startup: 60s is named twice"),
        ({"policies": ("fixed", "fixed")}, "--policies: fixed is named twice"),
        (
            {"traces": (TraceChoice("burst"), TraceChoice("a/burst.jsonl"))},
            "--trace: burst is named",
        ),
        ({"traces": ()}, "must each name at least one"),
        ({"traces": (TraceChoice("azure"),)}, "needs the public traces"),
        ({"router": "best"}, "--router=best: must be one of round_robin, kv_router"),
    ],
)
def test_bad_input_is_refused(file: str, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        bench_llm(small_bench(file, **changed), KeptRuns(), lambda _text: None)


def test_of_a_file_called_like_a_made_trace_no_other_seed_is_earlier_data(file: str) -> None:
    made = Path(file).rename(Path(file).with_name("burst.jsonl"))
    small = small_bench(str(made), n_seeds=2, policies=("fixed",))
    document, _ = bench_llm(small, KeptRuns(), lambda _text: None)
    (cell,) = document["summary"]["0.95"]["cells"]
    assert (cell["trace"], cell["judged_by"]) == ("burst", "second half")


def test_all_traces_are_measured_before_the_first_is_run(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "longer.jsonl"
    write_requests(other, small_trace(seed=8, minutes=20).requests)
    said: list[str] = []
    monkeypatch.setattr(bench, "is_held", lambda trace, _engine: trace.name == "mine")
    monkeypatch.setattr(bench, "run_databases", lambda _settings: nullcontext())
    choices = tuple(TraceChoice(name, goals=GOALS) for name in (file, str(other)))
    two = small_bench(file, traces=choices, policies=("fixed", "harmony"))
    with pytest.raises(InvalidInput, match="longer: a request is longer than a replica on"):
        bench_llm(two, KeptRuns(), said.append)
    assert not [line for line in said if "fixed" in line]


def test_a_goal_that_no_workload_can_have_is_refused_before_a_run(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(bench, "run_databases", lambda _settings: nullcontext())
    monkeypatch.setattr(bench, "work_laws", lambda *_: {SERVE: WorkLaw(0.5, 0.0, 0.0)})
    choices = (TraceChoice(file, goals=RequestGoals(2000.0, 5.0)),)
    small = small_bench(file, traces=choices, policies=("fixed", "harmony"))
    with pytest.raises(InvalidInput, match=r"threshold 0\.005 s is below the first bucket edge"):
        bench_llm(small, KeptRuns(), said.append)
    assert not said


def test_what_is_told_is_measured_by_requests_before_any_that_is_scored(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def laws(engine: QueueEngine, trace: LlmTrace, *_others: object) -> bench.PoolLaws:
        seen.append((engine.choice.gpu, len(trace.requests)))
        return {}

    monkeypatch.setattr(bench, "work_laws", laws)
    trace = load_trace(TraceChoice(file, goals=GOALS), 7)
    n_all, n_before = len(trace.requests), len(trace.before.requests)
    assert n_before < n_all
    small = small_bench(file, policies=("harmony", "harmony_told"))
    engine = QueueEngine(EngineChoice(small.model, "h200_sxm"))
    bench.told_laws(small, engine, trace, KeptRuns(), lambda _text: None)  # type: ignore[arg-type]
    assert seen == [("h200_sxm", n_all), ("h100_sxm", n_before), ("h200_sxm", n_before)]


def test_a_law_that_was_kept_is_of_the_code_that_measured_it(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def digest(folders: tuple[str, ...]) -> str:
        asked.append(folders)
        return "code"

    monkeypatch.setattr(bench, "code_digest", digest)
    trace = load_trace(TraceChoice(file, goals=GOALS), 7)
    engine = QueueEngine()
    bench.work_laws(engine, trace, KeptRuns(tmp_path / "kept"), lambda _text: None)  # type: ignore[arg-type]
    (folders,) = asked
    measured_in = Path(capacity.__file__)
    assert any(measured_in.is_relative_to(SOURCE / folder) for folder in folders)


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
