"""The stubs are what the .proto says, and the .proto is KEDA's wire format."""

from __future__ import annotations

import importlib.util
import re

import pytest

from services.scaler.proto import externalscaler_pb2 as pb
from services.scaler.proto.generate import FOLDER, STUBS, generate

_VERSION = re.compile(r"\d+\.\d+\.\d+|^ {4}\d+,$", re.M)


@pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed"
)
def test_the_stubs_are_generated_from_the_proto() -> None:
    written = generate()
    assert set(written) == set(STUBS)
    for name, text in written.items():
        stored = (FOLDER / name).read_text()
        message = f"{name}: run `python -m services.scaler.proto.generate`"
        assert _VERSION.sub("", stored) == _VERSION.sub("", text), message


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("ScaledObjectRef", {"name": 1, "namespace": 2, "scalerMetadata": 3}),
        ("IsActiveResponse", {"result": 1}),
        ("GetMetricSpecResponse", {"metricSpecs": 1}),
        ("MetricSpec", {"metricName": 1, "targetSize": 2, "targetSizeFloat": 3}),
        ("GetMetricsRequest", {"scaledObjectRef": 1, "metricName": 2}),
        ("GetMetricsResponse", {"metricValues": 1}),
        ("MetricValue", {"metricName": 1, "metricValue": 2, "metricValueFloat": 3}),
    ],
)
def test_the_field_numbers_are_kedas(message: str, fields: dict[str, int]) -> None:
    found = pb.DESCRIPTOR.message_types_by_name[message]
    assert {field.name: field.number for field in found.fields} == fields


def test_the_bytes_are_kedas() -> None:
    """Worked out by hand from the encoding: tag, length or value of each field."""
    reference = pb.ScaledObjectRef(name="so", namespace="ns", scalerMetadata={"k": "v"})
    assert reference.SerializeToString() == b"\n\x02so\x12\x02ns\x1a\x06\n\x01k\x12\x01v"
    value = pb.MetricValue(metricName="m", metricValue=7, metricValueFloat=7)
    assert value.SerializeToString() == b"\n\x01m\x10\x07\x19" + b"\0" * 6 + b"\x1c\x40"
    service = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
    assert service.full_name == "externalscaler.ExternalScaler"
    names = {"IsActive", "StreamIsActive", "GetMetricSpec", "GetMetrics"}
    assert {method.name for method in service.methods} == names
