"""A workload's spec is parsed once per version."""

from __future__ import annotations

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
