"""The script inside the arena's environment, with stand-ins for the packages it imports there."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from services.lab.arena import replay_process as process

told: list[dict[str, Any]] = []
"""What the engine was told by the policy, tick by tick, and last how it was started."""
WORKER = {"active_cache_usage": 0.5, "running_requests": 3, "waiting_requests": 1}
SAMPLE = {
    "traffic": {
        "arriving_requests": 2,
        "completed_requests": 2,
        "avg_ttft_ms": 70.0,
        "ttft_count": 2,
        "avg_itl_ms": 30.0,
        "itl_count": 1,
        "avg_isl": 10.0,
        "avg_osl": 5.0,
    },
    "prefill_scheduler_metrics": [],
    "decode_scheduler_metrics": [WORKER, {**WORKER, "active_cache_usage": 0.7}],
    "router_pending_prefill_requests": 0,
    "router_pending_decode_requests": 4,
}
REPORT = {f"{state}_decode_count": n for n, state in enumerate(("active", "starting", "draining"))}
OPERATIONS = [
    {
        "at_ms": at_ms,
        "pool": "agg",
        "cause": cause,
        "state_after_batch": {"active": active, "starting": starting, "draining": []},
    }
    for at_ms, cause, active, starting in (
        (1000.0, "planner_scale", [0], [1]),
        (2000.0, "worker_ready_event", [0, 1], []),
        (3000.0, "planner_scale", [0, 1], [2, 3]),
    )
]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """Traces that were replayed; records come back in another order, the longest prompt refused."""
    seen: list[list[dict[str, Any]]] = []
    told.clear()

    def run_trace_replay(path: str, **_: Any) -> Any:
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        seen.append(lines)
        first = lines[0]["timestamp"]
        records = [
            {
                "arrival_time_ms": line["timestamp"] - first,
                "input_length": line["input_length"],
                "requested_output_length": line["output_length"],
                "terminal_status": "rejected" if line["input_length"] > 5000 else "completed",
                "ttft_ms": line["input_length"] * 2.0,
                "itl_ms": None if line["output_length"] == 1 else 30.0,
                "e2e_latency_ms": 900.0,
            }
            for line in reversed(lines)
        ]
        return SimpleNamespace(per_request=records)

    def run_mocker_trace_replay(paths: list[str], **options: Any) -> Any:
        report = run_trace_replay(*paths)
        policy, sample = options["scaling_policy"], options["telemetry_callback"]
        now_ms = policy.initial_tick_ms()
        for _ in range(2):
            sample(SAMPLE)
            sample(SAMPLE)
            told.append(policy.on_tick({**REPORT, "now_ms": now_ms}))
            now_ms = told[-1]["next_tick_ms"]
        report.per_request.pop(0)  # one that was never finished has no record
        report.summary = {"duration_ms": 9000.0}
        report.lifecycle_operations = OPERATIONS
        told.append(options)
        return report

    core = ModuleType("dynamo._core")
    core.run_mocker_trace_replay = run_mocker_trace_replay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dynamo._core", core)
    package = ModuleType("dynamo.replay")
    package.run_trace_replay = run_trace_replay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dynamo", ModuleType("dynamo"))
    monkeypatch.setitem(sys.modules, "dynamo.replay", package)
    return seen


def asked(*requests: tuple[float, int, int]) -> dict[str, Any]:
    arrival, inputs, outputs = (list(column) for column in zip(*requests, strict=True))
    columns = {"arrival_ms": arrival, "input_tokens": inputs, "output_tokens": outputs}
    return {**columns, "workers": 1}


def test_answers_come_in_the_order_of_the_requests(traces: list[Any]) -> None:
    answer = process.replay({}, asked((5.0, 700, 9), (5.0, 600, 1), (7.0, 9000, 9)))
    assert answer["ttft_ms"] == [1400.0, 1200.0, None]
    assert answer["tpot_ms"] == [30.0, None, None]
    assert answer["e2e_ms"] == [900.0, 900.0, None]
    assert [line["input_length"] for line in traces[0]] == [600, 700, 9000]


def test_no_prompt_shares_a_block_with_another(traces: list[Any]) -> None:
    process.replay({}, asked((0.0, 512, 1), (1.0, 513, 1), (2.0, 1, 1)))
    blocks = [line["hash_ids"] for line in traces[0]]
    assert blocks == [[0], [1, 2], [3]]


def test_errors_are_answers_and_the_next_question_is_heard(traces: list[Any]) -> None:
    questions = [{"replay": {"workers": 1}}, {"replay": asked((0.0, 10, 2))}]
    answers = io.StringIO()
    process.serve(io.StringIO("\n".join(map(json.dumps, questions))), answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert "arrival_ms" in first["error"]
    assert second["ttft_ms"] == [20.0]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one model and one GPU type."""
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "Qwen--Qwen3-8B_config.json").touch()
    (tmp_path / "systems" / "data" / "a_gpu").mkdir(parents=True)
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _: found)


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("model", "gpu", "said"),
    [
        ("Qwen/Qwen3-9B", "a_gpu", "--model=Qwen/Qwen3-9B: .* it has Qwen/Qwen3-8B"),
        ("other/Thing", "a_gpu", "--model=other/Thing: the engine knows no such model$"),
        ("Qwen/Qwen3-8B", "b_gpu", "--gpu=b_gpu: must be one of a_gpu"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_fetched(
    model: str, gpu: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        process.check_known(model, gpu)


@pytest.mark.usefixtures("profiles")
def test_known_names_pass() -> None:
    process.check_known("Qwen/Qwen3-8B", "a_gpu")


def looped(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """Answers to a loop over three requests, the policy's lines given."""
    question = {
        **asked((500.0, 600, 1), (700.0, 700, 9), (700.0, 700, 9)),
        "initial": {"serve": 1},
        "startup_s": 60.0,
        "router": "round_robin",
        "until_ms": 10_500.0,
        "sample_ms": 25.0,
        "first_tick_ms": 0.0,
    }
    answers = io.StringIO()
    asks = [{"loop": question}, *lines]
    process.serve(io.StringIO("\n".join(map(json.dumps, asks)) + "\n"), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


GO_ON = {"targets": {"serve": 2}, "next_tick_ms": 15_500.0}


@pytest.mark.usefixtures("traces")
def test_a_policy_sees_what_happened_since_its_last_tick() -> None:
    first, second, _ = looped(GO_ON, GO_ON)
    assert (first["tick"]["now_ms"], second["tick"]["now_ms"]) == (500.0, 15_500.0)
    for line in (first["tick"], second["tick"]):
        assert line["arrived"] == 4
        assert line["finished"]["ttft_ms"] == [70.0] * 4
        assert line["finished"]["tpot_ms"] == [30.0, None] * 2
        assert (line["running"], line["waiting"], line["kv_usage"]) == (6, 6, 0.6)
        assert line["pools"] == {"serve": {"ready": 0, "starting": 1, "draining": 2}}


@pytest.mark.usefixtures("traces")
def test_the_engine_is_told_targets_on_its_own_clock() -> None:
    looped({"targets": {}, "next_tick_ms": 15_500.0}, GO_ON)
    kept, scaled, started = told
    assert kept == {"target_prefill": None, "target_decode": None, "next_tick_ms": 15_000.0}
    assert scaled["target_decode"] == 2
    assert json.loads(started["extra_engine_args"]) == {"startup_time": 60.0}
    assert started["max_sim_time_ms"] == 10_000.0


@pytest.mark.usefixtures("traces")
def test_a_loop_ends_with_requests_and_workers_over_time() -> None:
    *_, last = looped(GO_ON, GO_ON)
    assert last["ttft_ms"] == [1200.0, 1400.0, None]
    assert last["alive"] == {"serve": [[1500.0, 2], [3500.0, 4]]}
    assert last["events"] == {"serve": 2}
    assert last["ended_ms"] == 9500.0


@pytest.mark.usefixtures("traces")
def test_a_policy_that_stops_ends_the_loop_and_the_next_question_is_heard() -> None:
    _, stopped, replayed = looped({"stop": True}, {"replay": asked((0.0, 10, 2))})
    assert stopped == {"error": "the policy has stopped"}
    assert replayed["ttft_ms"] == [20.0]


def test_a_record_of_no_request_is_refused() -> None:
    record = {"arrival_time_ms": 0.0, "input_length": 5, "requested_output_length": 1}
    with pytest.raises(ValueError, match="do not belong to the requests"):
        process.served([(0.0, 6, 1)], [record])
