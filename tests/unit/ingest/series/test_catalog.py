"""A workload's spec is parsed once per version."""

from __future__ import annotations

import math
from dataclasses import replace

from services.ingest.series.catalog import WorkloadCatalog, WorkloadColumns

ROW = WorkloadColumns(1, "shop", "llama", 3, 60, 1)
SPEC = {
    "target": "Deployment/llama",
    "indicators": [
        {"name": "campaign_ratio", "level": 1, "is_known_ahead": True},
        {"name": "tokens", "level": 1, "unit": "delta", "kind": "counter"},
        {
            "name": "load_rps",
            "level": 1,
            "unit": "signed",
            "query": "sum(rate(load[$step]))",
            "gap": "Zero",
        },
    ],
    "demand": "load_rps",
    "capacity": {"per_replica": 100.0},
}


def test_a_spec_is_kept_until_its_version_changes() -> None:
    catalog = WorkloadCatalog()
    assert catalog.known(ROW) is None
    found = catalog.learn(ROW, SPEC)
    assert catalog.known(ROW) is found
    for changed in (replace(ROW, spec_version=2), replace(ROW, shard=4), replace(ROW, step_s=30)):
        assert catalog.known(changed) is None


def test_what_ingest_reads_off_a_spec() -> None:
    found = WorkloadCatalog().learn(ROW, SPEC)
    assert (found.id, found.shard, found.step_s) == (1, 3, 60)
    assert found.has_query
    assert found.first_measured == "tokens"
    load, tokens = found.indicators["load_rps"], found.indicators["tokens"]
    assert (load.is_signed, load.is_counter, load.is_absent_zero) == (True, False, True)
    assert (tokens.is_signed, tokens.is_counter, tokens.is_absent_zero) == (False, True, False)
    assert found.indicators["campaign_ratio"].is_known_ahead


OBJECTIVE = {
    "goals": [{"metric": "ttft", "threshold_s": 0.5}, {"metric": "errors"}],
    "series": [{"name": "sli_ttft_total", "query": "sum(rate(ttft_count[$step]))"}],
}


def test_the_counts_of_an_objective_are_series_but_pace_nothing() -> None:
    found = WorkloadCatalog().learn(ROW, SPEC | {"sla": {"objective": OBJECTIVE}})
    counts = [
        "sli_ttft_total",
        "sli_ttft_good",
        "sli_ttft_upto",
        "sli_ttft_sum",
        "sli_errors_total",
        "sli_lost",
        "sli_waiting",
        "sli_ready",
    ]
    assert found.names(is_sli=True) == counts
    assert found.names(is_sli=False) == ["campaign_ratio", "tokens", "load_rps"]
    assert [name for name in counts if found.indicators[name].is_counter] == counts[1:6]
    assert [name for name, one in found.indicators.items() if one.query] == [
        "load_rps",
        "sli_ttft_total",
    ]
    assert [name for name, one in found.indicators.items() if one.is_pacing] == [
        "tokens",
        "load_rps",
    ]
    assert not any(found.indicators[name].is_signed for name in counts)
    assert not any(found.indicators[name].is_absent_zero for name in counts)
    assert found.first_measured == "tokens"


def test_without_an_objective_nothing_is_counted() -> None:
    assert WorkloadCatalog().learn(ROW, SPEC).names(is_sli=True) == []


def test_an_objective_alone_is_enough_to_be_pulled_for() -> None:
    pushed = [one | {"query": "", "gap": "Unknown"} for one in SPEC["indicators"]]  # type: ignore[attr-defined]
    spec = SPEC | {"indicators": pushed}
    assert not WorkloadCatalog().learn(ROW, spec).has_query
    found = WorkloadCatalog().learn(ROW, spec | {"sla": {"objective": OBJECTIVE}})
    assert found.has_query


def test_a_load_has_a_bound_and_a_counter_is_bounded_by_its_rate_alone() -> None:
    indicators = [one for one in SPEC["indicators"] if isinstance(one, dict)]
    spec = SPEC | {
        "indicators": [*indicators, {"name": "heat_c", "level": 3}],
        "capacity": {
            "per_replica": 100.0,
            "also_bound_by": [{"indicator": "tokens", "per_replica": 7e5}],
        },
    }
    found = WorkloadCatalog().learn(ROW, spec).indicators
    assert (found["load_rps"].largest_sample, found["load_rps"].largest_step) == (1e6, 1e6)
    assert (found["tokens"].largest_sample, found["tokens"].largest_step) == (9e18, 7e9)
    assert (found["heat_c"].largest_sample, found["heat_c"].largest_step) == (9e18, math.inf)
    assert [name for name, one in found.items() if one.is_gauge_load] == ["load_rps"]
