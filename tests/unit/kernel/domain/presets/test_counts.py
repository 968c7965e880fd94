"""Series of an objective: exact on an edge, an interval off it, and never a zero for an unknown."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from services.kernel.domain import GoalSpec
from services.kernel.domain.objective import GoalMetric, ObjectiveSpec, series_names
from services.kernel.domain.presets import PRESETS, ObjectiveSeries, objective_series
from services.kernel.domain.presets.promql import at_edge
from tests.unit.kernel.domain.presets.scraped import PAGES

LATENCIES: tuple[GoalMetric, ...] = ("ttft", "tpot", "itl", "e2e", "queue")
PLACE = 'namespace="shop",pod=~"chat-.*"'


def found(
    *presets: str, own: Mapping[str, str] | None = None, **goals_s: float | None
) -> ObjectiveSeries:
    goals = [GoalSpec.model_validate({"metric": m, "threshold_s": t}) for m, t in goals_s.items()]
    return objective_series(goals, presets, "shop", ("chat",), own or {})


def queries(series: ObjectiveSeries) -> dict[str, str]:
    return {one.name: one.query for one in series.series}


def test_on_an_edge_good_is_exact() -> None:
    series = found("vllm", ttft=1.0)
    histogram = "vllm:time_to_first_token_seconds"
    given_ = queries(series)
    assert given_["sli_ttft_total"] == f"sum(rate({histogram}_count{{{PLACE}}}[$step]))"
    assert given_["sli_ttft_good"] == (
        rf'sum(rate({histogram}_bucket{{{PLACE},le=~"1|1\\.0"}}[$step]))'
    )
    assert "sli_ttft_upto" not in given_
    assert (series.problems, series.notes) == ((), ())


def test_between_two_edges_it_is_an_interval_that_is_named() -> None:
    series = found("vllm", ttft=0.7)
    given_ = queries(series)
    assert r'le=~"0\\.5"' in given_["sli_ttft_good"]
    assert r'le=~"0\\.75"' in given_["sli_ttft_upto"]
    histogram = "vllm:time_to_first_token_seconds"
    assert given_["sli_ttft_sum"] == f"sum(rate({histogram}_sum{{{PLACE}}}[$step]))"
    edges = {one.name: one.edge_s for one in series.series if one.edge_s is not None}
    assert edges == {"sli_ttft_good": 0.5, "sli_ttft_upto": 0.75}
    (note,) = series.notes
    assert note == (
        "ttft: 700ms lies between 500ms and 750ms, bucket edges of vllm:time_to_first_token_seconds"
    )


def test_above_the_last_edge_all_may_be_good() -> None:
    series = found("vllm", ttft=5000.0)
    given_ = queries(series)
    assert r'le=~"2560|2560\\.0"' in given_["sli_ttft_good"]
    assert given_["sli_ttft_upto"] == given_["sli_ttft_total"]
    assert "5000s is above 2560s, the last bucket edge" in series.notes[0]


def test_below_the_first_edge_nothing_can_be_counted() -> None:
    series = found("vllm", ttft=0.0005, tpot=0.05)
    assert series.problems == (
        "no bucket of vllm:time_to_first_token_seconds is at or below 0.5ms: its first is 1ms",
    )
    assert not any("ttft" in name for name in queries(series))
    assert "sli_tpot_good" in queries(series)


def test_a_bucket_that_ends_at_zero_counts_nothing() -> None:
    assert "its first is 2.2ms" in found("dynamo", ttft=0.001).problems[0]
    assert found("dynamo", ttft=0.0022).problems == ()


def test_older_names_stand_behind_the_newest() -> None:
    good = queries(found("vllm", itl=0.05))["sli_itl_good"]
    newer, _, older = good.partition(" or ")
    assert "vllm:inter_token_latency_seconds_bucket" in newer
    assert "vllm:time_per_output_token_seconds_bucket" in older
    assert at_edge(0.05) in newer
    assert at_edge(0.05) in older


def test_edges_are_written_in_the_unit_of_the_histogram() -> None:
    good = queries(found("triton", ttft=0.5))["sli_ttft_good"]
    assert r'le=~"500|500\\.0"' in good


def test_each_preset_is_found_where_its_series_are() -> None:
    good = queries(found("opentelemetry", ttft=0.5))["sli_ttft_good"]
    assert 'k8s_namespace_name="shop",k8s_pod_name=~"chat-.*"' in good


def test_of_several_presets_the_first_that_has_a_goal_counts() -> None:
    given_ = queries(found("dcgm", "sglang", "opentelemetry", ttft=0.4, tpot=0.05))
    assert "sglang:time_to_first_token_seconds" in given_["sli_ttft_total"]
    assert "gen_ai_server_time_per_output_token" in given_["sli_tpot_total"]
    # two presets would count a lost request twice
    assert given_["sli_lost"] == f"sum(rate(sglang:num_aborted_requests_total{{{PLACE}}}[$step]))"
    assert given_["sli_waiting"] == f"sum(avg_over_time(sglang:num_queue_reqs{{{PLACE}}}[$step]))"


def test_errors_are_of_all_requests() -> None:
    given_ = queries(found("sglang", errors=None))
    assert set(given_) == {"sli_errors_total", "sli_lost", "sli_waiting"}
    assert "sglang:time_to_first_token_seconds_count" in given_["sli_errors_total"]


def test_what_nothing_gives_is_pushed() -> None:
    assert queries(found(ttft=0.5, errors=None)) == {
        "sli_ttft_total": "",
        "sli_ttft_good": "",
        "sli_errors_total": "",
        "sli_lost": "",
        "sli_waiting": "",
    }
    assert queries(found("sglang", tpot=0.05))["sli_tpot_good"] == ""


def test_what_is_not_counted_is_left_out_where_nothing_is_pushed() -> None:
    assert set(queries(found("kserve", e2e=1.0))) == {"sli_e2e_total", "sli_e2e_good"}


def test_one_s_own_queries_take_the_place_of_a_preset_s() -> None:
    own = {"sli_ttft_total": "a", "sli_ttft_good": "b", "sli_lost": "c", "sli_waiting": "d"}
    series = found("vllm", own=own, ttft=0.0005)
    assert (queries(series), series.problems) == (own, ())
    assert queries(found(own={"sli_errors_total": "a"}, errors=None))["sli_errors_total"] == "a"


def test_names_that_are_none_never_reach_promql() -> None:
    goal = GoalSpec(metric="ttft", threshold_s=0.5)
    with pytest.raises(ValueError, match="must be a Kubernetes name"):
        objective_series([goal], ["vllm"], "shop", ['a"}'], {})
    with pytest.raises(ValueError, match="preset='ollama' must be one of"):
        objective_series([goal], ["ollama"], "shop", ["a"], {})


@given(
    st.lists(st.sampled_from(sorted(PRESETS)), max_size=3, unique=True),
    st.dictionaries(st.sampled_from(LATENCIES), st.floats(1e-4, 8e4), min_size=1),
    st.booleans(),
)
def test_the_series_are_always_those_of_an_objective(
    presets: list[str], thresholds_s: dict[GoalMetric, float], has_errors: bool
) -> None:
    goals: dict[str, float | None] = {**thresholds_s, **({"errors": None} if has_errors else {})}
    series = found(*presets, **goals)
    specs = tuple(
        GoalSpec.model_validate({"metric": m, "threshold_s": t}) for m, t in goals.items()
    )
    names = [one.name for one in series.series]
    assert set(names) <= set(series_names(specs))
    assert ObjectiveSpec(goals=specs, series=series.series).series == series.series
    counted = [goal for goal in specs if f"sli_{goal.metric}_total" in names]
    assert len(counted) + len(series.problems) == len(specs)
    for one in series.series:
        assert "$" not in one.query.replace("$step", "")
        assert not one.query or "[$step]" in one.query


@pytest.mark.parametrize(
    ("preset", "on"),
    [
        *[(name, name) for name in ("vllm", "sglang", "tgi", "tensorrt-llm", "triton", "kserve")],
        *[("opentelemetry", "opentelemetry"), ("gateway", "gateway"), ("dynamo", "dynamo-newer")],
        ("llm-d", "llm-d"),
    ],
)
def test_each_edge_is_one_bucket_of_the_real_page(preset: str, on: str) -> None:
    text = (PAGES / f"{on}.txt").read_text()
    n_seen = 0
    for goal in PRESETS[preset].goals:
        found_ = re.findall(rf'^{goal.metrics[0]}_bucket\{{.*?le="([^"]*)"', text, re.M)
        for edge_s in goal.edges_s if found_ else ():
            edge = float(f"{edge_s / goal.unit_s:.15g}") if goal.unit_s != 1 else edge_s
            pattern = at_edge(edge)[5:-1].replace("\\\\", "\\")
            (label,) = {one for one in found_ if re.fullmatch(pattern, one)}
            assert math.isclose(float(label), edge)
            n_seen += 1
    assert n_seen > 0


def answers(
    folder: Path, inputs: list[dict[str, str]], expected: dict[str, float | None], preset: str
) -> str:
    """What promtool says against values of the series after five minutes; empty: nothing."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    metric = PRESETS[preset].goals[0].goal
    asked = queries(found(preset, **{metric: 0.999, "errors": None}))
    checks: list[dict[str, Any]] = [
        {
            "expr": asked[name].replace("$step", "2m"),
            "eval_time": "5m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
    ]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    document = {"rule_files": [], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(document))
    command = [tool, "test", "rules", str(folder / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def series_of(metric: str, values: str, labels: str = "", pod: str = "0") -> dict[str, str]:
    told = f'namespace="shop",pod="chat-{pod}"' + (f",{labels}" if labels else "")
    return {"series": f"{metric}{{{told}}}", "values": values}


def test_lost_requests_are_the_sum_of_the_counters_that_are_there(tmp_path: Path) -> None:
    failed = "tgi_request_failure"
    one = [series_of(failed, "0+60x9", 'err="overloaded"')]
    both = [*one, series_of(failed, "0+30x9", 'err="dropped"', "1")]
    assert answers(tmp_path, one, {"sli_lost": 1.0}, "tgi") == ""
    assert answers(tmp_path, both, {"sli_lost": 1.5}, "tgi") == ""
    assert answers(tmp_path, [], {"sli_lost": None}, "tgi") == ""


def test_counters_of_equal_labels_do_not_hide_each_other(tmp_path: Path) -> None:
    inputs = [
        series_of("dynamo_frontend_requests_total", "0+60x9", 'status="error"'),
        series_of("dynamo_frontend_model_rejection_total", "0+60x9"),
        series_of("dynamo_frontend_model_cancellation_total", "0+30x9"),
    ]
    assert answers(tmp_path, inputs, {"sli_lost": 2.5}, "dynamo") == ""


@pytest.mark.parametrize(
    ("preset", "errors", "pool"),
    [
        ("gateway", "inference_objective_request_error_total", "inference_pool_ready_pods"),
        ("llm-d", "llm_d_epp_request_error_total", "llm_d_epp_ready_endpoints"),
    ],
)
def test_a_picker_s_queue_and_refusals_count_and_a_client_s_mistakes_do_not(
    tmp_path: Path, preset: str, errors: str, pool: str
) -> None:
    size = pool.replace("ready_pods", "average_queue_size").replace(
        "ready_endpoints", "average_queue_size"
    )
    flow = "inference_extension" if preset == "gateway" else "llm_d_epp"
    inputs = [
        series_of(errors, "0+60x9", 'error_code="ModelServerError"'),
        series_of(errors, "0+30x9", 'error_code="ResourceExhausted"'),
        series_of(errors, "0+60x9", 'error_code="BadRequest"'),
        series_of(size, "1.5x9", 'name="a"'),
        series_of(pool, "2x9", 'name="a"'),
    ]
    expected: dict[str, float | None] = {"sli_lost": 1.5, "sli_waiting": 3.0}
    assert answers(tmp_path, inputs, expected, preset) == ""
    held = series_of(f"{flow}_flow_control_queue_size", "4x9", 'priority="0"')
    assert answers(tmp_path, [*inputs, held], {"sli_waiting": 7.0}, preset) == ""
    # scaled to zero there are no replicas' queues
    assert answers(tmp_path, [held], {"sli_waiting": 4.0, "sli_lost": None}, preset) == ""


def test_buckets_are_counted_over_pods_however_their_edges_are_written(tmp_path: Path) -> None:
    histogram = "vllm:time_to_first_token_seconds"
    inputs = [
        series_of(f"{histogram}_count", "0+120x9"),
        series_of(f"{histogram}_sum", "0+90x9"),
        series_of(f"{histogram}_bucket", "0+60x9", 'le="0.75"'),
        series_of(f"{histogram}_bucket", "0+90x9", 'le="1"'),
        series_of(f"{histogram}_count", "0+120x9", pod="1"),
        series_of(f"{histogram}_bucket", "0+30x9", 'le="0.75"', "1"),
        series_of(f"{histogram}_bucket", "0+30x9", 'le="1.0"', "1"),
        series_of("vllm:num_requests_waiting", "3x9"),
    ]
    expected: dict[str, float | None] = {
        "sli_ttft_total": 4.0,
        "sli_ttft_good": 1.5,
        "sli_ttft_upto": 2.0,
        "sli_ttft_sum": 1.5,
        "sli_errors_total": 4.0,
        "sli_lost": None,
        "sli_waiting": 3.0,
    }
    assert answers(tmp_path, inputs, expected, "vllm") == ""
    assert "got:" in answers(tmp_path, inputs, {"sli_ttft_good": 1.6}, "vllm")


def test_every_expression_is_valid_promql(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no `promtool` on PATH (Debian: apt-get install prometheus)")
    asked: dict[str, float | None] = {**dict.fromkeys(LATENCIES, 0.35), "errors": None}
    told = [one.query for name in PRESETS for one in found(name, **asked).series if one.query]
    rules = [
        {"record": f"sli:{n}", "expr": query.replace("$step", "60s")}
        for n, query in enumerate(told)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "sli", "rules": rules}]}))
    command = [tool, "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(told) > 50
