"""The page is what Prometheus reads, whatever names there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.exporter.lines import WorkloadLines
from services.exporter.metrics import METRICS
from services.kernel import telemetry
from tests.unit.exporter.test_translate import KNOWN

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), min_size=1)


def row(number: int, namespace: str = "prod", cluster: str = "eu") -> dict[str, Any]:
    return KNOWN | {"cluster": cluster, "namespace": namespace, "name": f"w{number}"}


def test_all_series_of_a_metric_stand_together_below_what_they_mean() -> None:
    page = WorkloadLines()
    page.add([row(0), row(1)], NOW)
    page.add([row(2)], NOW)
    page.add_operators({"eu": 1.7e9, 'us"': 1.6e9})
    families = list(text_string_to_metric_families(page.to_bytes().decode()))
    assert [one.name for one in families] == [one.full_name for one in METRICS]
    for family, declared in zip(families, METRICS, strict=True):
        assert (family.type, family.documentation) == ("gauge", declared.help_text)
        for sample in family.samples:
            assert tuple(sample.labels) == declared.labels
    (total,) = families[1].samples
    assert total.value == 3
    seen = {sample.labels["cluster"]: sample.value for sample in families[0].samples}
    assert seen == {"eu": 1.7e9, 'us"': 1.6e9}


def test_without_workloads_only_their_number_is_told() -> None:
    text = WorkloadLines().to_bytes().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["harmony_active_workloads 0.0"]


@given(NAMES, NAMES)
def test_a_name_is_read_as_it_was_written(namespace: str, cluster: str) -> None:
    page = WorkloadLines()
    page.add([row(0, namespace, cluster)], NOW)
    families = text_string_to_metric_families(page.to_bytes().decode())
    labels = next(f for f in families if f.name == "harmony_paused").samples[0].labels
    assert labels == {"cluster": cluster, "namespace": namespace, "workload": "w0"}


def test_no_other_process_has_a_series_for_each_workload() -> None:
    """But the external scaler, whose advice is made as it is asked for."""
    named = {
        collector._name
        for collector in telemetry.REGISTRY._collector_to_names
        if "workload" in getattr(collector, "_labelnames", ())
    }
    assert named == {"harmony_advised_replicas", "harmony_advice_expires_timestamp_seconds"}
    assert b'workload="' not in generate_latest(telemetry.REGISTRY) or named
