"""CEL rules of a schema."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.rules import RuleError, Rules


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
