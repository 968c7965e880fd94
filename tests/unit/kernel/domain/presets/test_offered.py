"""Offered loads, evaluated by Prometheus' own engine on courses whose loads are known."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.domain.presets import PRESETS, preset_indicators

Courses = Mapping[str, str]
"""Values of a metric a minute, by its name."""
STEADY: Courses = {
    # 1 request/s of 100 tokens in and 40 out, 0.05 s a token: 2 s in the cache
    "vllm:request_success_total": "0+60x500",
    "vllm:prompt_tokens_total": "0+6000x500",
    "vllm:prefix_cache_hits_total": "0+1500x500",
    "vllm:request_prompt_tokens_sum": "0+6000x500",
    "vllm:request_prompt_tokens_count": "0+60x500",
    "vllm:request_generation_tokens_sum": "0+2400x500",
    "vllm:request_generation_tokens_count": "0+60x500",
    "vllm:request_decode_time_seconds_sum": "0+120x500",
    "vllm:num_requests_waiting": "0x500",
    "vllm:num_requests_running": "2x500",
}
QUEUE: Courses = {"vllm:num_requests_waiting": "0x420 0+30x80"}
"""From the 420th minute on half as much again arrives, which nobody serves."""
AT = "450m"


def evaluated(folder: Path, preset: str, courses: Courses, expected: Mapping[str, Any]) -> str:
    """What promtool says against values of offered loads at `AT`; empty: nothing."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    queries = {i.name: i.query for i in preset_indicators((preset,), "shop", ("chat",))}
    place = '{namespace="shop",pod="chat-0"}'
    checks = [
        {
            "expr": f"round({queries[name].replace('$step', '2m')}, 0.001)",
            "eval_time": AT,
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
    ]
    inputs = [{"series": f"{name}{place}", "values": values} for name, values in courses.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    file = folder / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(
        [tool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_what_arrives_is_what_is_served_where_nothing_waits(tmp_path: Path) -> None:
    expected = {
        "offered_request_rate_rps": 1.0,
        "offered_input_tokens_per_s": 100.0,
        "offered_uncached_tokens_per_s": 75.0,
        "offered_output_tokens_per_s": 40.0,
        "offered_kv_tokens": (100 + 40 / 2) * 40 * 0.05,
    }
    assert evaluated(tmp_path, "vllm", STEADY, expected) == ""


def test_a_queue_that_grows_is_load_that_arrived(tmp_path: Path) -> None:
    """Served is the same as before; half as much again is what was asked for."""
    expected = {
        "offered_request_rate_rps": 1.5,
        "offered_input_tokens_per_s": 150.0,
        "offered_uncached_tokens_per_s": 75.0 * 1.5,
        "offered_output_tokens_per_s": 60.0,
        "offered_kv_tokens": 1.5 * 240,
    }
    assert evaluated(tmp_path, "vllm", {**STEADY, **QUEUE}, expected) == ""


def test_a_queue_that_is_worked_off_is_no_load(tmp_path: Path) -> None:
    """Twice as much is served as arrives."""
    courses = {**STEADY, "vllm:num_requests_waiting": "9000x420 9000-30x80"}
    expected = {"offered_request_rate_rps": 0.5, "offered_output_tokens_per_s": 20.0}
    assert evaluated(tmp_path, "vllm", courses, expected) == ""


def test_slow_replicas_do_not_add_to_the_load_of_the_cache(tmp_path: Path) -> None:
    """Tokens take three times as long for an hour: the quieter hours before tell the speed."""
    slow = {"vllm:request_decode_time_seconds_sum": "0+120x390 47160+360x110"}
    assert evaluated(tmp_path, "vllm", {**STEADY, **slow}, {"offered_kv_tokens": 240.0}) == ""


def test_a_quiet_service_has_no_load_rather_than_an_unknown_one(tmp_path: Path) -> None:
    idle = {name: "7x500" if name.endswith("total") or "request_" in name else "0x500"
            for name in STEADY}  # fmt: skip
    names = [name for name in PRESETS["vllm"].loads if name.startswith("offered_")]
    assert evaluated(tmp_path, "vllm", idle, dict.fromkeys(names, 0.0)) == ""


def test_arrivals_without_a_finished_request_are_of_unknown_size(tmp_path: Path) -> None:
    """Nothing is done for an hour while requests come in: only their number is known."""
    stuck = {**dict.fromkeys(STEADY, "7x500"), **QUEUE}
    expected = {
        "offered_request_rate_rps": 0.5,
        "offered_input_tokens_per_s": None,
        "offered_output_tokens_per_s": None,
        "offered_kv_tokens": None,
    }
    assert evaluated(tmp_path, "vllm", stuck, expected) == ""


def test_a_program_that_is_silent_has_a_gap(tmp_path: Path) -> None:
    silent = {name: f"{course.split('x')[0]}x400" for name, course in STEADY.items()}
    names = [name for name in PRESETS["vllm"].loads if name.startswith("offered_")]
    assert evaluated(tmp_path, "vllm", silent, dict.fromkeys(names)) == ""


def test_an_older_program_is_read_by_its_names(tmp_path: Path) -> None:
    older = dict(STEADY)
    older["vllm:gpu_prefix_cache_hits_total"] = older.pop("vllm:prefix_cache_hits_total")
    assert evaluated(tmp_path, "vllm", older, {"offered_uncached_tokens_per_s": 75.0}) == ""


def test_sglang_counts_tokens_at_the_end_of_a_request(tmp_path: Path) -> None:
    courses = {
        "sglang:num_requests_total": "0+60x500",
        "sglang:prompt_tokens_total": "0+6000x500",
        "sglang:generation_tokens_total": "0+2400x500",
        "sglang:inter_token_latency_seconds_sum": "0+120x500",
        "sglang:inter_token_latency_seconds_count": "0+2400x500",
        "sglang:num_queue_reqs": "0x500",
        "sglang:num_running_reqs": "2x420 2+30x80",
    }
    expected = {
        "offered_request_rate_rps": 1.5,
        "offered_input_tokens_per_s": 150.0,
        "offered_uncached_tokens_per_s": 150.0,
        "offered_output_tokens_per_s": 60.0,
        "offered_kv_tokens": 360.0,
    }
    assert evaluated(tmp_path, "sglang", courses, expected) == ""
    courses["sglang:cached_tokens_total"] = "0+1500x500"
    expected = {"offered_uncached_tokens_per_s": 112.5}
    assert evaluated(tmp_path, "sglang", courses, expected) == ""


def test_a_router_s_arrivals_carry_the_means_of_answers(tmp_path: Path) -> None:
    courses = {
        "dynamo_frontend_requests_started_total": "0+60x420 25200+120x80",
        "dynamo_frontend_input_sequence_tokens_sum": "0+6000x500",
        "dynamo_frontend_input_sequence_tokens_count": "0+60x500",
        "dynamo_frontend_output_sequence_tokens_sum": "0+2400x500",
        "dynamo_frontend_output_sequence_tokens_count": "0+60x500",
        "dynamo_frontend_inter_token_latency_seconds_sum": "0+120x500",
        "dynamo_frontend_inter_token_latency_seconds_count": "0+2400x500",
    }
    expected = {
        "offered_input_tokens_per_s": 200.0,
        "offered_output_tokens_per_s": 80.0,
        "offered_kv_tokens": 480.0,
    }
    assert evaluated(tmp_path, "dynamo", courses, expected) == ""
    courses = {n.replace("dynamo_frontend", "inference_objective"): v for n, v in courses.items()}
    told = {
        "requests_started_total": "request_total",
        "sequence_tokens": "tokens",
    }
    for old, new in told.items():
        courses = {name.replace(old, new): values for name, values in courses.items()}
    expected.pop("offered_kv_tokens")
    assert evaluated(tmp_path, "gateway", courses, expected) == ""


def test_a_load_of_the_cache_needs_the_speed_of_decoding() -> None:
    assert "offered_kv_tokens" in PRESETS["dynamo"].loads
    assert "offered_kv_tokens" not in PRESETS["gateway"].loads


@pytest.mark.parametrize("preset", ["vllm", "sglang", "dynamo"])
def test_a_query_may_be_pasted_into_a_spec(preset: str) -> None:
    for indicator in preset_indicators((preset,), "a-namespace", ("a-service-with-a-long-name",)):
        assert len(indicator.query) <= 4096
