"""The recording rules of an objective's counts, evaluated by Prometheus' own engine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.domain.objective import GoalSpec, series_names

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "counts.example.yml"
FIRST, SECOND = "llama-7d9f-aaaaa", "llama-7d9f-bbbbb"


def counter(metric: str, pod: str, values: str, **labels: str) -> dict[str, str]:
    told = "".join(f',{name}="{value}"' for name, value in labels.items())
    return {"series": f'{metric}{{namespace="shop",pod="{pod}"{told}}}', "values": values}


def recorded(indicator: str, value: float) -> dict[str, Any]:
    name = f'harmony:indicator{{indicator="{indicator}"}}'
    labels = f'harmony:indicator{{indicator="{indicator}",namespace="shop",workload="llama"}}'
    found = [{"labels": labels, "value": value}]
    return {"expr": name, "eval_time": "5m", "exp_samples": found}


def test_the_rules_write_names_of_the_objective() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    names = [rule["labels"]["indicator"] for rule in group["rules"]]
    assert set(names) <= set(series_names((GoalSpec(metric="ttft", threshold_s=0.5),)))
    assert len(names) == len(set(names)) == 4


def test_pods_are_summed_as_rates_so_one_that_restarts_takes_nothing_away(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    ttft = "vllm:time_to_first_token_seconds"
    restarts = "0+30x18 0+30x6"  # at 4:45 it begins anew
    inputs = [
        counter(f"{ttft}_count", FIRST, "0+15x24"),
        counter(f"{ttft}_count", SECOND, restarts),
        counter(f"{ttft}_bucket", FIRST, "0+15x24", le="0.5"),
        counter(f"{ttft}_bucket", FIRST, "0+15x24", le="0.75"),
        counter(f"{ttft}_bucket", SECOND, "0x24", le="0.5"),
        counter("vllm:request_success_total", FIRST, "0+15x24", finished_reason="stop"),
        counter("vllm:request_success_total", FIRST, "0+3x24", finished_reason="abort"),
        counter("vllm:num_requests_waiting", FIRST, "4x24"),
        counter("vllm:num_requests_waiting", SECOND, "2x24"),
    ]
    # of the restart one rise of four is lost: what was counted before the first scrape after it
    expected = {"sli_ttft_total": 1.0 + 1.5, "sli_ttft_good": 1.0, "sli_lost": 0.2}
    checks = [recorded(name, value) for name, value in (expected | {"sli_waiting": 6.0}).items()]
    test = {"interval": "15s", "input_series": inputs, "promql_expr_test": checks}
    file = tmp_path / "test.yml"
    content = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [test]}
    file.write_text(yaml.safe_dump(content))
    command = [tool, "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
