"""Label and field selectors of LIST and WATCH."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.lab.cluster.storage.failures import bad_request
from services.lab.cluster.storage.resources import ResourceType
from services.lab.cluster.storage.store import Selectable

Test = Callable[[dict[str, str]], bool]

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_SET = re.compile(rf"^(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)$")
_EXISTS = re.compile(rf"^(?P<not>!?)\s*(?P<key>{_KEY})$")


@dataclass(frozen=True, slots=True)
class Selector:
    """Selection of the objects that a request is about."""

    namespace: str = ""
    labels: tuple[Test, ...] = ()
    fields: tuple[Test, ...] = field(default=())

    def matches(self, facts: Selectable) -> bool:
        """Check whether an object is selected."""
        return (
            (not self.namespace or facts.namespace == self.namespace)
            and all(test(facts.labels) for test in self.labels)
            and all(test(facts.fields) for test in self.fields)
        )


def make_selector(
    rtype: ResourceType, namespace: str, label_selector: str, field_selector: str, name: str = ""
) -> Selector:
    """Read the selectors of a request.

    Raises:
        ApiFailure: 400 for a selector that cannot be parsed or names an unknown field.
    """
    fields = list(parse_fields(rtype, field_selector))
    if name:
        fields.append(lambda values: values["metadata.name"] == name)
    return Selector(namespace, parse_labels(label_selector), tuple(fields))


def parse_labels(text: str) -> tuple[Test, ...]:
    """The tests of a label selector such as `app=a,tier in (x,y),!old`."""
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", text)] if text.strip() else []
    return tuple(_label_test(part, text) for part in parts)


def _label_test(part: str, whole: str) -> Test:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(part):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        key, is_absent = found["key"], bool(found["not"])
        return lambda labels: (key in labels) is not is_absent
    raise bad_request(f"unable to parse requirement: {part!r} in label selector {whole!r}")


def parse_fields(rtype: ResourceType, text: str) -> tuple[Test, ...]:
    """The tests of a field selector such as `status.phase=Running,spec.nodeName!=a`."""
    tests: list[Test] = []
    for part in filter(None, text.split(",")):
        found = re.match(r"^(?P<key>[\w.]+)(?P<op>==|=|!=)(?P<value>.*)$", part)
        if not found:
            raise bad_request(f"invalid field selector: {part!r}")
        key, value, is_equal = found["key"], found["value"], found["op"] != "!="
        if key not in ("metadata.name", "metadata.namespace", *rtype.field_labels):
            raise bad_request(
                f'Unable to find "{rtype.qualified}" that match field "{key}": '
                f"field label not supported: {key}"
            )
        tests.append(_field_test(key, value, is_equal))
    return tuple(tests)


def _field_test(key: str, value: str, is_equal: bool) -> Test:
    return lambda fields: (fields.get(key, "") == value) is is_equal


def matches_label_selector(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Check whether labels satisfy a `LabelSelector` object."""
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        has, value = rule["key"] in labels, labels.get(rule["key"])
        values = rule.get("values") or ()
        is_right = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not is_right.get(rule["operator"], False):
            return False
    return True


def selector_text(selector: dict[str, Any]) -> str:
    """A `LabelSelector` object in the words of a label selector string."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(rule.get("values") or ())
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[rule["operator"]]
        )
    return ",".join(parts)
