"""Expressions of presets, evaluated by Prometheus' own engine: one value, by whatever name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.domain.presets import preset_indicators

LABELS = 'namespace="shop",pod="chat-{pod}"'
NEW, OLD = "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"


def series(metric: str, values: str, pod: str = "0", **labels: str) -> dict[str, str]:
    told = "".join(f',{name}="{value}"' for name, value in labels.items())
    return {"series": f"{metric}{{{LABELS.format(pod=pod)}{told}}}", "values": values}


def histogram(metric: str, pod: str, within_s: str) -> list[dict[str, str]]:
    """Ten observations a minute, all within one edge."""
    rising = {le: float(le) >= float(within_s) for le in ("0.025", "0.05", "0.1", "+Inf")}
    return [
        series(f"{metric}_bucket", "0+10x9" if rises else "0x9", pod, le=le)
        for le, rises in rising.items()
    ]


def evaluated(folder: Path, inputs: list[dict[str, str]], expected: dict[str, float | None]) -> str:
    """What promtool says against some values of indicators after five minutes; empty: nothing."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    queries = {i.name: i.query for i in preset_indicators(("vllm",), "shop", ("chat",))}
    checks: list[dict[str, Any]] = [
        {
            "expr": queries[name].replace("$step", "2m"),
            "eval_time": "5m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
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


def test_pods_are_summed_and_strangers_are_not(tmp_path: Path) -> None:
    inputs = [
        series("vllm:request_success_total", "0+60x9", finished_reason="stop"),
        series("vllm:request_success_total", "0+30x9", "1", finished_reason="length"),
        {"series": 'vllm:request_success_total{namespace="shop",pod="other-0"}', "values": "0+6x9"},
        series("vllm:num_requests_waiting", "4x9"),
        series("vllm:num_requests_waiting", "2x9", "1", engine="1"),
    ]
    expected: dict[str, float | None] = {"request_rate_rps": 1.5, "queue_requests": 6.0}
    assert evaluated(tmp_path, inputs, expected) == ""


def test_an_older_name_is_read_where_there_is_no_newer_one(tmp_path: Path) -> None:
    inputs = [series("vllm:gpu_cache_usage_perc", "0.5x9"), *histogram(OLD, "0", "0.05")]
    expected: dict[str, float | None] = {"kv_cache_ratio": 0.5, "itl_p95_ms": 48.75}
    assert evaluated(tmp_path, inputs, expected) == ""


def test_the_newest_name_counts_where_both_are_there(tmp_path: Path) -> None:
    inputs = [
        series("vllm:gpu_cache_usage_perc", "0.5x9"),
        series("vllm:kv_cache_usage_perc", "0.25x9", "1"),
        *histogram(OLD, "0", "0.1"),
        *histogram(NEW, "1", "0.05"),
    ]
    expected: dict[str, float | None] = {"kv_cache_ratio": 0.25, "itl_p95_ms": 48.75}
    assert evaluated(tmp_path, inputs, expected) == ""


def test_a_wrong_value_would_be_seen(tmp_path: Path) -> None:
    inputs = [series("vllm:num_requests_waiting", "4x9")]
    assert "got:" in evaluated(tmp_path, inputs, {"queue_requests": 5.0})


def test_a_silent_program_is_a_gap(tmp_path: Path) -> None:
    inputs = [series("vllm:num_requests_waiting", "4 4 _ _ _ _ _ _ _")]
    expected: dict[str, float | None] = {"queue_requests": None, "request_rate_rps": None}
    assert evaluated(tmp_path, inputs, expected) == ""
