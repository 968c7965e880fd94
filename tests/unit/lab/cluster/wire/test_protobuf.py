"""Bodies in Kubernetes' protobuf form, made by hand from the wire format."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.wire.protobuf import read_object


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def body(version: str, kind: str, raw: bytes) -> bytes:
    head = field(1, version) + field(2, kind)
    return b"k8s\x00" + field(1, head) + field(2, raw) + field(3, "") + field(4, "")


def test_a_namespace_as_kubectl_sends_it() -> None:
    meta = field(1, "serving") + field(2, "") + field(7, 0) + field(8, b"")
    meta += field(11, field(1, "team") + field(2, "llm")) + field(11, field(1, "a") + field(2, "b"))
    raw = field(1, meta) + field(2, b"") + field(3, field(1, ""))
    assert read_object(body("v1", "Namespace", raw)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "serving", "labels": {"team": "llm", "a": "b"}},
    }


@pytest.mark.parametrize("replicas", [0, 1, 300])
def test_a_count_of_zero_is_kept_where_it_says_something(replicas: int) -> None:
    container = field(1, "main") + field(2, "pause") + field(3, "a") + field(3, "b") + field(8, b"")
    template = field(1, field(11, field(1, "app") + field(2, "x"))) + field(2, field(2, container))
    spec = field(1, replicas) + field(2, field(1, field(1, "app") + field(2, "x")))
    spec += field(3, template) + field(4, b"") + field(5, 0) + field(7, 0)
    found = read_object(body("apps/v1", "Deployment", field(2, spec)))
    assert found["spec"] == {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"labels": {"app": "x"}},
            "spec": {
                "containers": [{"name": "main", "image": "pause", "command": ["a", "b"]}],
            },
        },
    }


def test_a_quantity_is_its_text() -> None:
    target = field(1, "AverageValue") + field(3, field(1, "500m"))
    metric = field(1, "Resource") + field(4, field(1, "cpu") + field(2, target))
    spec = field(3, 5) + field(4, metric)
    found = read_object(body("autoscaling/v2", "HorizontalPodAutoscaler", field(2, spec)))
    (read,) = found["spec"]["metrics"]
    assert read["resource"]["target"] == {"type": "AverageValue", "averageValue": "500m"}


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (b"{}", 400, "does not begin"),
        (body("v1", "Secret", b""), 415, "v1 Secret"),
        (body("v1", "Namespace", field(1, field(13, b"x"))), 415, "field 13 of Namespace.metadata"),
        (body("v1", "Namespace", b"\x0a\x7fabc"), 400, "no whole protobuf"),
        (body("v1", "Namespace", b"\x0a"), 400, "no whole protobuf"),
        (body("v1", "Namespace", field(1, field(1, 5))), 400, "a number where a text"),
        (body("v1", "Namespace", field(1, field(1, b"\xff"))), 400, "no whole protobuf"),
        (body("v1", "DeleteOptions", field(1, "soon")), 400, "no whole protobuf"),
        (body("v1", "Namespace", b"\x0b"), 400, "no whole protobuf"),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, code: int, said: str) -> None:
    with pytest.raises(ApiFailure) as caught:
        read_object(raw)
    status: dict[str, Any] = caught.value.status
    assert status["code"] == code
    assert said in status["message"]
