"""Pruning, defaults, validation and rules beyond what the conformance suite shows."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.schemas import SchemaValidator, prune, with_defaults

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "map": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"x": {"type": "integer", "default": 7}},
                    },
                },
                "nil": {"type": "string", "nullable": True, "default": "d"},
                "port": {"x-kubernetes-int-or-string": True},
                "set": {
                    "type": "array",
                    "x-kubernetes-list-type": "set",
                    "items": {"type": "string"},
                },
                "inner": {
                    "type": "object",
                    "default": {},
                    "properties": {"deep": {"type": "string", "default": "z"}},
                },
            },
        }
    },
}


def test_pruning_keeps_what_is_known_or_free_and_names_the_rest() -> None:
    obj = {
        "kind": "K",
        "metadata": {"anything": 1},
        "spec": {"free": {"x": 1}, "map": {"k": {"x": 1, "y": 2}}, "gone": 1},
        "extra": 2,
    }
    pruned, unknown = prune(obj, SCHEMA)
    assert pruned == {
        "kind": "K",
        "metadata": {"anything": 1},
        "spec": {"free": {"x": 1}, "map": {"k": {"x": 1}}},
    }
    assert unknown == ["spec.map.k.y", "spec.gone", "extra"]


def test_defaults_reach_into_defaults_and_maps_but_not_over_a_null_that_may_be() -> None:
    filled = with_defaults({"spec": {"map": {"k": {}}, "nil": None}}, SCHEMA)
    assert filled["spec"] == {"map": {"k": {"x": 7}}, "nil": None, "inner": {"deep": "z"}}


def test_a_null_that_may_not_be_null_counts_as_absent() -> None:
    filled = with_defaults({"spec": {"inner": {"deep": None}}}, SCHEMA)
    assert filled["spec"]["inner"] == {"deep": "z"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"a": 0}, "spec.a: Invalid value: 0: spec.a in body should be greater than 0"),
        ({"port": 1.5}, "spec.port: Invalid value"),
        ({"set": ["x", "x"]}, 'spec.set[1]: Duplicate value: "x"'),
    ],
)
def test_violations_in_the_servers_words(spec: dict[str, Any], text: str) -> None:
    (cause,) = SchemaValidator(SCHEMA).causes({"spec": spec})
    assert cause.text.startswith(text)


@pytest.mark.parametrize("spec", [{"a": 1}, {"port": "http"}, {"port": 80}, {"nil": None}])
def test_right_objects_pass(spec: dict[str, Any]) -> None:
    assert SchemaValidator(SCHEMA).causes({"spec": spec}) == []
