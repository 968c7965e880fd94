"""docs/interop.md agrees with the code where it is easy to drift from it."""

from __future__ import annotations

from pathlib import Path

import yaml

from services.kernel.settings import Settings
from services.kernel.telemetry import REGISTRY
from services.scaler import api, server, translate

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "interop.md").read_text()


def test_every_status_and_key_is_there() -> None:
    statuses = {status.name for status in api._STATUS.values()}
    for word in (*statuses, translate.AUTOSCALER, translate.WORKLOAD, translate.TOLERANCE):
        assert f"`{word}`" in TEXT
    assert f"port {Settings.model_fields['scaler_port'].default} " in TEXT
    assert f"{server.MAX_MESSAGE_BYTES // 1024} KiB" in TEXT


def test_the_prometheus_trigger_names_our_gauges_and_never_reads_nothing_as_zero() -> None:
    block = TEXT.partition("```yaml\n")[2].partition("```")[0]
    (trigger,) = yaml.safe_load(block)["triggers"]
    names = {metric.name for metric in REGISTRY.collect()}
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metricType"] == "AverageValue"
    assert float(trigger["metadata"]["threshold"]) == api.TARGET
    words = trigger["metadata"]["query"].replace("{", " ").replace("(", " ").split()
    ours = {word for word in words if word.startswith("harmony_")}
    assert ours == {"harmony_advised_replicas", "harmony_advice_expires_timestamp_seconds"}
    assert ours <= names


def test_links_lead_somewhere() -> None:
    for page in (DOCS / "interop.md", DOCS / "decisions" / "0015-external-scaler.md"):
        for target in page.read_text().split("](")[1:]:
            assert (page.parent / target.partition(")")[0]).exists(), target
