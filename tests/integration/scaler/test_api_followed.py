"""The whole way: a decision's row, the metric over gRPC, an HPA by its rule, the decided count."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from tests.integration.scaler.conftest import Caller, Rows
from tests.unit.scaler.hpa_reference import Hpa, keda

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "keda-scaledobject.yaml"
MOST, N_SYNCS = 200, 3


@pytest.mark.slow
def test_every_count_is_arrived_at(caller: Caller, rows: Rows) -> None:
    manifest = yaml.safe_load(EXAMPLE.read_text())["spec"]
    (metric,) = caller.stub.GetMetricSpec(caller.reference()).metricSpecs
    behavior = manifest["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    hpa = Hpa(1, MOST, round(1000 * metric.targetSizeFloat), behavior)
    llama = rows.register(min_replicas=0, max_replicas=MOST)
    counts = list(range(MOST + 1))
    random.Random(7).shuffle(counts)
    current = 1
    for count in counts:
        rows.clock.advance(rows.step_s)
        rows.decide(llama, count)
        for _ in range(N_SYNCS):
            value, is_active = caller.count(), caller.is_active()
            before, current = current, keda(current, is_active, min_replicas=0)
            current = hpa.sync(current, round(1000 * value)) if current else 0
            if current == before:
                break
        assert current == count
