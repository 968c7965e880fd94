"""Presets: expressions that a Prometheus accepts, filled in safely."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from services.kernel.domain.presets import (
    PRESETS,
    REPLICA_PRESETS,
    filled,
    find_preset,
    preset_indicators,
)

ALL = tuple(PRESETS)


def test_presets_are_indicators_of_one_workload() -> None:
    found = preset_indicators(("vllm", "dcgm"), "shop", ("llama-70b",))
    names = [indicator.name for indicator in found]
    assert len(set(names)) == len(names)
    assert {indicator.level for indicator in found} == {1, 2, 3}
    for indicator in found:
        assert 'namespace="shop",pod=~"llama-70b-.*"' in indicator.query
        assert "[$step]" in indicator.query
        assert re.findall(r"\$\w+", indicator.query.replace("$step", "")) == []


def test_of_a_name_given_twice_the_first_counts() -> None:
    triton, dcgm = (preset_indicators((name,), "a", ("b",)) for name in ("triton", "dcgm"))
    both = preset_indicators(("triton", "dcgm"), "a", ("b",))
    assert both[: len(triton)] == triton
    assert len(both) < len(triton) + len(dcgm)


@pytest.mark.parametrize("bad", ['a"}', "A", "", "a b", "x|.*", "-a"])
def test_a_name_that_is_none_never_reaches_promql(bad: str) -> None:
    with pytest.raises(ValueError, match="must be a Kubernetes name"):
        preset_indicators(("vllm",), "shop", (bad,))
    with pytest.raises(ValueError, match="must be a Kubernetes name"):
        preset_indicators(("vllm",), bad, ("llama",))


def test_names_left_out_stay_to_be_filled_in() -> None:
    (first, *_) = preset_indicators(("vllm",), None, ())
    assert 'namespace="$namespace",pod=~"$pod"' in first.query
    (first, *_) = preset_indicators(("vllm",), "shop", ())
    assert 'namespace="shop",pod=~"$pod"' in first.query


def test_several_targets_are_one_workload() -> None:
    both = filled('{namespace="$namespace",pod=~"$pod"}', "shop", ("chat-h100", "chat.a100"))
    assert both == r"""{namespace="shop",pod=~"(chat-h100|chat\\.a100)-.*"}"""


def test_a_router_s_metrics_are_not_looked_for_at_the_replicas() -> None:
    assert set(PRESETS) - set(REPLICA_PRESETS) == {"dynamo", "gateway", "llm-d"}


def test_offered_loads_are_there_where_they_are_wanted() -> None:
    every = [i.name for i in preset_indicators(("vllm",), "shop", ("chat",))]
    offered = [name for name in every if name.startswith("offered_")]
    assert len(offered) == 5
    for wanted in ((), ("offered_kv_tokens",)):
        found = [i.name for i in preset_indicators(("vllm",), "shop", ("chat",), wanted)]
        assert found == [n for n in every if n not in offered or n in wanted]


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match=r"preset='ollama' must be one of \['dcgm'"):
        preset_indicators(("ollama",), "shop", ("llama",))
    assert find_preset("tgi").program == "Text Generation Inference"


def test_every_expression_is_valid_promql(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    queries = [
        indicator.query.replace("$step", "60s")
        for preset in ALL
        for indicator in preset_indicators((preset,), "shop", ("llama.v2", "other"))
    ]
    rules = [{"record": f"preset:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "presets", "rules": rules}]}))
    result = subprocess.run(
        [tool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(queries)} rules found" in result.stdout
