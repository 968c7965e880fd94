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
"""Values of a metric a minute, by its name, which may have labels."""
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
    place = 'namespace="shop",pod="chat-0"'
    checks = [
        {
            "expr": f"round({queries[name].replace('$step', '2m')}, 0.001)",
            "eval_time": AT,
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
    ]
    inputs = [
        {"series": f"{name}{{{','.join(filter(None, (place, labels.rstrip('}'))))}}}", "values": v}
        for (name, _, labels), v in ((key.partition("{"), v) for key, v in courses.items())
    ]
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


LLM_D: Courses = {
    # as STEADY; a third of the input is in the cache
    "llm_d_epp_request_total": "0+60x500",
    "llm_d_epp_request_input_tokens_sum": "0+6000x500",
    "llm_d_epp_request_input_tokens_count": "0+60x500",
    "llm_d_epp_request_output_tokens_sum": "0+2400x500",
    "llm_d_epp_request_output_tokens_count": "0+60x500",
    "llm_d_epp_request_cached_tokens_sum": "0+2000x500",
    "llm_d_epp_request_streaming_itl_seconds_sum": "0+120x500",
    "llm_d_epp_request_streaming_itl_seconds_count": "0+2400x500",
}


def loads_of(requests: float, cached_ratio: float = 1 / 3) -> dict[str, float]:
    """Loads of some requests a second of 100 tokens in and 40 out, 0.05 s a token."""
    return {
        "offered_request_rate_rps": requests,
        "offered_input_tokens_per_s": 100.0 * requests,
        "offered_uncached_tokens_per_s": round(100.0 * (1 - cached_ratio) * requests, 3),
        "offered_output_tokens_per_s": 40.0 * requests,
        "offered_kv_tokens": 240.0 * requests,
    }


def test_what_a_picker_refuses_and_holds_arrived_too(tmp_path: Path) -> None:
    assert evaluated(tmp_path, "llm-d", LLM_D, loads_of(1.0)) == ""
    errors = "llm_d_epp_request_error_total"
    apart = {
        f'{errors}{{error_code="ResourceExhausted"}}': "0x420 0+60x80",
        f'{errors}{{error_code="BadRequest"}}': "0+60x500",
        f'{errors}{{error_code="ModelServerError"}}': "0+60x500",
        'llm_d_epp_flow_control_queue_size{priority="0"}': "0x420 0+30x80",
    }
    assert evaluated(tmp_path, "llm-d", {**LLM_D, **apart}, loads_of(2.5)) == ""
    # waiting for the first replica nothing is sent on: what size they have is not known
    held = {'llm_d_epp_flow_control_queue_size{priority="0"}': "0x420 0+30x80"}
    expected = {"offered_request_rate_rps": 0.5, "offered_output_tokens_per_s": None}
    assert evaluated(tmp_path, "llm-d", held, expected) == ""


def test_a_picker_s_deprecated_names_are_read_where_there_are_no_newer_ones(tmp_path: Path) -> None:
    older = {
        name.replace("llm_d_epp", "inference_objective")
        .replace("request_input", "input")
        .replace("request_output", "output"): course
        for name, course in LLM_D.items()
    }
    known = (
        "offered_request_rate_rps",
        "offered_input_tokens_per_s",
        "offered_output_tokens_per_s",
    )
    expected = {name: load for name, load in loads_of(1.0).items() if name in known}
    assert evaluated(tmp_path, "llm-d", older, expected) == ""
    # of both, each request counts once
    assert evaluated(tmp_path, "llm-d", {**older, **LLM_D}, loads_of(1.0)) == ""


def test_tgi_counts_what_it_lets_in_and_what_it_refuses(tmp_path: Path) -> None:
    courses = {
        # tokenized or invalid ones are no load
        "tgi_request_count": "0+600x500",
        "tgi_request_input_length_sum": "0+6000x500",
        "tgi_request_input_length_count": "0+60x500",
        "tgi_request_generated_tokens_sum": "0+2400x500",
        "tgi_request_generated_tokens_count": "0+60x500",
        "tgi_request_inference_duration_sum": "0+120x500",
        'tgi_request_failure{err="validation"}': "0+60x500",
    }
    expected = loads_of(1.0)
    expected.pop("offered_uncached_tokens_per_s")
    assert evaluated(tmp_path, "tgi", courses, expected) == ""
    courses['tgi_request_failure{err="overloaded"}'] = "0x420 0+60x80"
    expected = loads_of(2.0)
    expected.pop("offered_uncached_tokens_per_s")
    assert evaluated(tmp_path, "tgi", courses, expected) == ""


@pytest.mark.parametrize(
    ("waiting", "running"),
    [
        ("trtllm_num_requests_waiting", "trtllm_num_requests_running"),
        ("trtllm_server_queue_length", "trtllm_num_active_requests"),
    ],
)
def test_tensorrt_llm_counts_tokens_at_the_end_of_a_request(
    tmp_path: Path, waiting: str, running: str
) -> None:
    courses = {
        'trtllm_request_success_total{finished_reason="stop"}': "0+40x500",
        'trtllm_request_success_total{finished_reason="length"}': "0+20x500",
        "trtllm_prompt_tokens_total": "0+6000x500",
        "trtllm_generation_tokens_total": "0+2400x500",
        "trtllm_request_decode_time_seconds_sum": "0+120x500",
        waiting: "0x420 0+30x80",
        running: "2x500",
    }
    # without the counter there is no cache
    assert evaluated(tmp_path, "tensorrt-llm", courses, loads_of(1.5, 0.0)) == ""
    courses["trtllm_prompt_cached_tokens_total"] = "0+2000x500"
    assert evaluated(tmp_path, "tensorrt-llm", courses, loads_of(1.5)) == ""


def test_a_load_of_the_cache_needs_the_speed_of_decoding() -> None:
    assert "offered_kv_tokens" in PRESETS["dynamo"].loads
    assert "offered_kv_tokens" not in PRESETS["gateway"].loads
    assert "offered_uncached_tokens_per_s" not in {
        **PRESETS["gateway"].loads,
        **PRESETS["tgi"].loads,
    }


@pytest.mark.parametrize("preset", [name for name, one in PRESETS.items() if one.loads])
def test_a_query_may_be_pasted_into_a_spec(preset: str) -> None:
    for indicator in preset_indicators((preset,), "a-namespace", ("a-service-with-a-long-name",)):
        assert len(indicator.query) <= 4096
