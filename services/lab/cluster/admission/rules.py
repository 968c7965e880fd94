"""CEL rules of a structural schema (`x-kubernetes-validations`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from celpy import Environment, celtypes
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from services.lab.cluster.storage.failures import Cause

_REMEMBERED_VERDICTS = 20_000


@dataclass(frozen=True, slots=True)
class ValidationRule:
    """One rule, compiled, and the schema of the value that it calls `self`."""

    text: str
    message: str
    reason: str
    field_path: str
    is_transition: bool
    schema: dict[str, Any]
    program: Any
    message_program: Any


class RuleError(Exception):
    """A rule that does not compile: where it stands in the schema, and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class Rules:
    """All rules of a schema, evaluated on objects.

    A value that a rule has seen is not evaluated again: CEL in Python costs about a millisecond.

    Raises:
        RuleError: If a rule does not compile.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._environment = Environment()
        self._verdicts: dict[tuple[int, bytes], str | None] = {}
        self._root = self._compile(schema, "openAPIV3Schema")

    def check(self, new: Any, old: Any) -> list[Cause]:
        """Causes of every broken rule; `old` is None on creation."""
        return list(self._walk(self._root, new, old, ""))

    def _compile(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """The part of the schema tree that holds rules: {"rules", "properties", "items", ...}."""
        node: dict[str, Any] = {}
        rules = schema.get("x-kubernetes-validations") or []
        if rules:
            node["rules"] = [
                self._rule(rule, schema, f"{path}.x-kubernetes-validations[{i}].rule")
                for i, rule in enumerate(rules)
            ]
        properties = {
            name: self._compile(each, f"{path}.properties[{name}]")
            for name, each in (schema.get("properties") or {}).items()
        }
        node["properties"] = {name: each for name, each in properties.items() if each}
        for word in ("items", "additionalProperties"):
            if isinstance(schema.get(word), dict):
                node[word] = self._compile(schema[word], f"{path}.{word}")
        return {word: value for word, value in node.items() if value}

    def _rule(self, rule: dict[str, Any], schema: dict[str, Any], path: str) -> ValidationRule:
        message_text = rule.get("messageExpression")
        return ValidationRule(
            text=rule["rule"],
            message=rule.get("message") or f"failed rule: {rule['rule']}",
            reason=rule.get("reason") or "FieldValueInvalid",
            field_path=rule.get("fieldPath") or "",
            is_transition="oldSelf" in rule["rule"],
            schema=schema,
            program=self._program(rule["rule"], path),
            message_program=self._program(message_text, path) if message_text else None,
        )

    def _program(self, text: str, path: str) -> Any:
        try:
            return self._environment.program(self._environment.compile(text))
        except CELParseError as error:
            why = f"compilation failed: {str(error.args[0]).strip()}"
            raise RuleError(path, why) from error

    def _walk(self, node: dict[str, Any], new: Any, old: Any, path: str) -> Iterator[Cause]:
        if new is None:
            return
        for rule in node.get("rules", ()):
            if rule.is_transition and old is None:
                continue
            message = self._verdict(rule, new, old)
            if message is not None:
                yield Cause(f"{path}{rule.field_path}" or "<nil>", message, rule.reason)
        if isinstance(new, dict):
            before = old if isinstance(old, dict) else {}
            named = node.get("properties", {})
            for name, child in named.items():
                if name in new:
                    inner = f"{path}.{name}" if path else name
                    yield from self._walk(child, new[name], before.get(name), inner)
            if others := node.get("additionalProperties"):
                for name in new.keys() - named.keys():
                    inner = f"{path}[{name}]"
                    yield from self._walk(others, new[name], before.get(name), inner)
        elif isinstance(new, list) and "items" in node:
            for i, value in enumerate(new):
                yield from self._walk(node["items"], value, None, f"{path}[{i}]")

    def _verdict(self, rule: ValidationRule, new: Any, old: Any) -> str | None:
        """The message of a broken rule; None when it holds."""
        seen = [new, old] if rule.is_transition else [new]
        key = (id(rule), orjson.dumps(seen))
        if key not in self._verdicts:
            if len(self._verdicts) >= _REMEMBERED_VERDICTS:
                self._verdicts.clear()
            self._verdicts[key] = _evaluate(rule, new, old)
        return self._verdicts[key]


def _evaluate(rule: ValidationRule, new: Any, old: Any) -> str | None:
    values = {"self": to_cel(new, rule.schema)}
    if rule.is_transition:
        values["oldSelf"] = to_cel(old, rule.schema)
    try:
        if bool(rule.program.evaluate(values)):
            return None
        if rule.message_program is None:
            return f"Invalid value: {_shown(new)}: {rule.message}"
        return f"Invalid value: {_shown(new)}: {rule.message_program.evaluate(values)}"
    except CELEvalError as error:
        why = str(error.args[0])[:200]
        return f"Invalid value: {_shown(new)}: rule could not be evaluated: {rule.text}: {why}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return '"object"'
    if isinstance(value, list):
        return '"array"'
    return orjson.dumps(value).decode()


def to_cel(value: Any, schema: dict[str, Any]) -> Any:
    """A JSON value as CEL sees it: under a `number` schema a whole number is a double too."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        other_schema = others if isinstance(others, dict) else {}
        return celtypes.MapType(
            {
                celtypes.StringType(name): to_cel(each, properties.get(name, other_schema))
                for name, each in value.items()
            }
        )
    if isinstance(value, list):
        items = schema.get("items")
        return celtypes.ListType([to_cel(each, items or {}) for each in value])
    if schema.get("type") == "number" and isinstance(value, int):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        if schema.get("format") == "date-time":
            return celtypes.TimestampType(value)
        if schema.get("format") == "duration":
            return celtypes.DurationType(value)
    return json_to_cel(value)
