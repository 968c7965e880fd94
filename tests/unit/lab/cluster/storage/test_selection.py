"""Selectors: parsing, matching, and the words of a `LabelSelector`."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import PODS
from services.lab.cluster.storage.selection import (
    make_selector,
    matches_label_selector,
    parse_labels,
    selector_text,
)
from services.lab.cluster.storage.store import Selectable

LABELS = {"app": "a", "tier": "x"}


@pytest.mark.parametrize(
    ("text", "is_selected"),
    [
        ("", True),
        ("app=a", True),
        ("app==a,tier=x", True),
        ("app=b", False),
        ("app!=b", True),
        ("app!=a", False),
        ("tier in (x, y)", True),
        ("tier in (y),app=a", False),
        ("tier notin (y)", True),
        ("gone notin (y)", True),
        ("app", True),
        ("gone", False),
        ("!gone", True),
        ("!app", False),
    ],
)
def test_label_selectors(text: str, is_selected: bool) -> None:
    assert all(test(LABELS) for test in parse_labels(text)) is is_selected


def test_what_cannot_be_parsed_is_a_bad_request() -> None:
    with pytest.raises(ApiFailure) as found:
        parse_labels("app=(a")
    assert found.value.code == 400
    for fields in ("spec.x=1", "spec.nodeName"):
        with pytest.raises(ApiFailure) as found:
            make_selector(PODS, "", "", fields)
        assert found.value.code == 400


def test_namespace_labels_fields_and_name_have_to_match() -> None:
    pod = Selectable("team", LABELS, {"metadata.name": "p", "spec.nodeName": "n"})
    assert make_selector(PODS, "team", "app=a", "spec.nodeName=n", "p").matches(pod)
    assert make_selector(PODS, "", "", "spec.nodeName!=m").matches(pod)
    for namespace, labels, fields, name in (
        ("other", "", "", ""),
        ("", "app=b", "", ""),
        ("", "", "spec.nodeName!=n", ""),
        ("", "", "", "q"),
    ):
        assert not make_selector(PODS, namespace, labels, fields, name).matches(pod)


@pytest.mark.parametrize(
    ("expression", "is_matched"),
    [
        ({"key": "app", "operator": "In", "values": ["a"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "gone", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
        ({"key": "app", "operator": "Unknown"}, False),
    ],
)
def test_expressions_of_a_label_selector(expression: dict[str, Any], is_matched: bool) -> None:
    selector = {"matchLabels": {"tier": "x"}, "matchExpressions": [expression]}
    assert matches_label_selector(selector, LABELS) is is_matched
    assert not matches_label_selector(selector, {})


def test_a_label_selector_in_words_selects_the_same() -> None:
    selector = {
        "matchLabels": {"tier": "x", "app": "a"},
        "matchExpressions": [
            {"key": "app", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    text = selector_text(selector)
    assert text == "app=a,tier=x,app in (a,b),!old"
    assert all(test(LABELS) for test in parse_labels(text))
