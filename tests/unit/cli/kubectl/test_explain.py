"""Explanations of decisions on a terminal of 80 columns."""

from __future__ import annotations

from services.admin.decisions.schemas import ActionView
from services.cli.kubectl.explain import render_decision
from services.cli.output import console
from tests.unit.cli.kubectl.views import NOW, decision, pools, shown, workload


def test_explain_reads_from_the_headline_down() -> None:
    lines = shown(render_decision(decision(), workload(), NOW))
    assert (
        lines[0] == "serving/llama: 8 → 10 replicas, +8 GPUs, +$20.00 per hour  [not acted on yet]"
    )
    text = "\n".join(lines)
    assert "Staying at 8 would put more out of SLA" in text
    assert "bound by    rate limit" in text
    assert "Estimated if kept at 8: 8.3 %" in text
    assert "p10 7,000  p50 8,700  p90 10.4 k  p99 12.1 k tokens/s" in text
    assert "wanted 12, decided 10" in text
    assert "Rate limit: 12 → 10 (2 pods per minute)" in text
    assert "1 other guard changed nothing" in text
    assert "if replicas started at once: 12 (the same)" in text


def test_explain_says_which_rung_answered_instead_of_the_forecast() -> None:
    detail = decision(
        rung="trailing_percentile", forecast_reason="demand is stale", model_version=None
    )
    text = "\n".join(shown(render_decision(detail, workload(), NOW)))
    assert "fallback rung trailing percentile answered: demand is stale" in text


def test_explain_tells_what_counts_are_expected_to_miss() -> None:
    record = {
        "of": "requests",
        "by_replicas": [{"replicas": 8, "share": 0.031}, {"replicas": 10, "share": 0.006}],
    }
    said = "8 replicas: 3.1 % of requests would wait longer than the objective allows, or fail"
    text = " ".join(
        " ".join(shown(render_decision(decision(expected_misses=record), workload(), NOW))).split()
    )
    assert f"{said}; 10: 0.6 %" in text
    assert "expected" not in "\n".join(shown(render_decision(decision(), workload(), NOW)))


def test_explain_tells_which_load_binds() -> None:
    stored = decision()
    record = stored.explanation | {"bound_by": {"load_rps": 0.1, "output_tokens_per_s": 0.9}}
    text = "\n".join(shown(render_decision(decision(explanation=record), workload(), NOW)))
    assert "loads       Mostly bound by output_tokens_per_s (90 %)" in text
    assert "loads  " not in "\n".join(shown(render_decision(stored, workload(), NOW)))


def test_explain_says_that_a_scaling_in_cut_requests_off() -> None:
    pod = {"pod": "x", "told_at": NOW, "killed_at": NOW, "grace_s": 30.0, "requests": 3.0}
    text = " ".join(
        " ".join(shown(render_decision(decision(killed_pods=[pod]), workload(), NOW))).split()
    )
    assert "violation the scaling in cut requests off: 1 pod was killed" in text
    assert "violation" not in "\n".join(shown(render_decision(decision(), workload(), NOW)))


def test_explain_counts_the_gpus_of_each_pool() -> None:
    """One of eight H100 more and one of one L4 less: as many replicas, and not the same."""
    found = [
        {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 3},
        {"name": "decode", "gpu_type": "L4", "current": 10, "desired": 9},
    ]
    counts = {"current_replicas": 12, "desired_replicas": 12, "direction": "hold"}
    detail = decision(**counts, variants=found, cost_delta_usd_per_h=31.5)
    text = " ".join(shown(render_decision(detail, workload(parts=pools()), NOW)))
    assert "12 → 12 replicas (prefill 2 → 3, decode 10 → 9), +7 GPUs, +$31.50 per hour" in text
    gone = workload(parts=pools()[:1])
    assert "GPUs" not in shown(render_decision(detail, gone, NOW))[0]
    still = decision(**counts, variants=[one | {"desired": one["current"]} for one in found])
    assert "stays at 12" in shown(render_decision(still, workload(parts=pools()), NOW))[0]


def test_explain_shows_no_escapes_of_a_stored_reason() -> None:
    """The console keeps them out, whatever it is given."""
    reason = "decision 7 was rejected by bob\x1b[2J\x1b]8;;http://evil.example\x07here\x1b]8;;\x07"
    acted = ActionView.model_validate(
        {
            "id": 1,
            "decision_id": 7,
            "namespace": "serving",
            "cluster": "default",
            "workload": "llama",
            "origin_at": NOW,
            "attempt": 1,
            "from_replicas": 8,
            "to_replicas": 8,
            "applied_at": NOW,
            "result": "rejected",
            "reason": reason,
        }
    )
    with console.capture() as capture:
        console.print(render_decision(decision(actions=[acted]), workload(), NOW))
    said = "".join(capture.get().split())
    assert "rejectedbybob?[2J?]8;;http://evil.examplehere" in said
    assert "\x1b" not in capture.get()
