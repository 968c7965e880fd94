"""Pruning, defaults, validation and rules beyond what the conformance suite shows."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.rules import RuleError, Rules
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


def rules(rule: dict[str, Any], **schema: Any) -> Rules:
    return Rules(
        {"type": "object", "properties": {"v": schema | {"x-kubernetes-validations": [rule]}}}
    )


def test_a_whole_number_is_a_double_where_the_schema_says_number() -> None:
    checked = rules({"rule": "self < 1.5"}, type="number")
    assert checked.check({"v": 1}, None) == []
    (cause,) = checked.check({"v": 2}, None)
    assert cause.field == "v"
    assert "failed rule: self < 1.5" in cause.message


def test_rules_hold_for_each_entry_and_name_it() -> None:
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "m"}]}
    checked = Rules({"type": "object", "properties": {"v": {"type": "array", "items": item}}})
    assert [cause.field for cause in checked.check({"v": [1, 0, -1]}, None)] == ["v[1]", "v[2]"]


def test_messages_can_be_computed_and_fields_pointed_at() -> None:
    rule = {
        "rule": "self.low <= self.high",
        "messageExpression": "'low ' + string(self.low) + ' is above high'",
        "fieldPath": ".low",
    }
    (cause,) = rules(rule, type="object").check({"v": {"low": 3, "high": 1}}, None)
    assert cause.field == "v.low"
    assert "low 3 is above high" in cause.message


def test_transition_rules_wait_for_an_old_value() -> None:
    checked = rules({"rule": "self >= oldSelf", "message": "may only grow"}, type="integer")
    assert checked.check({"v": 3}, None) == []
    assert checked.check({"v": 3}, {"v": 3}) == []
    (cause,) = checked.check({"v": 3}, {"v": 4})
    assert "may only grow" in cause.message
    assert checked.check({"v": 3}, {"v": 3}) == []


def test_a_rule_that_cannot_be_evaluated_is_a_violation_not_a_pass() -> None:
    (cause,) = rules({"rule": "self.missing > 1"}, type="object").check({"v": {}}, None)
    assert "could not be evaluated" in cause.message


def test_a_rule_that_does_not_compile_is_told_with_its_place() -> None:
    with pytest.raises(RuleError, match=r"properties\[v\]\.x-kubernetes-validations\[0\]\.rule"):
        rules({"rule": "self >"}, type="integer")
