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


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """Traces that were replayed; records come back in another order, the longest prompt refused."""
    seen: list[list[dict[str, Any]]] = []

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
