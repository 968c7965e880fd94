"""The models read durations and decimals as users write them, and write them back."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.operator.resource.spec import GPUAutoscalerSpec
from tests.unit.operator.examples import spec


@pytest.mark.parametrize(
    ("field", "value", "seconds"), [("median", "90s", 90.0), ("median", "1m30s", 90.0)]
)
def test_models_read_durations(field: str, value: str, seconds: float) -> None:
    written = GPUAutoscalerSpec.model_validate(spec(leadTime={field: value}))
    assert written.lead_time is not None
    assert written.lead_time.median_s == seconds


@pytest.mark.parametrize("value", ["12.5", 12.5, 12])
def test_models_read_decimals(value: object) -> None:
    written = GPUAutoscalerSpec.model_validate(spec(capacity={"perReplica": value}))
    assert written.capacity.per_replica == float(value)  # type: ignore[arg-type]


def test_a_manifest_reads_back() -> None:
    written = GPUAutoscalerSpec.model_validate(spec(leadTime={"median": "95s", "sigma": "0.4"}))
    assert GPUAutoscalerSpec.model_validate(written.to_manifest()) == written
    assert written.to_manifest()["leadTime"] == {"median": "1m35s", "sigma": "0.4"}


def test_a_number_without_unit_is_no_duration() -> None:
    with pytest.raises(ValidationError, match="must be a duration with its unit"):
        GPUAutoscalerSpec.model_validate(spec(leadTime={"median": 90}))
