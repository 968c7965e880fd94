"""Rules of label matchers that tell the indicator of a series of a remote write. Pure.

The rules are YAML, see docs/observability.md. The first rule whose selector matches a series tells
its workload and indicator; a series that no rule matches is none of Harmony's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from string import Template
from typing import NamedTuple

import re2  # type: ignore[import-untyped]  # brings no types
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from services.ingest.series.owners import Identity
from services.ingest.series.translate import PushedSeriesName
from services.kernel.domain.objective import SERIES_PREFIX
from services.kernel.errors import ConfigurationError

_SETTING = "HARMONY_REMOTE_WRITE_RULES"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')\s*"""
)
_ESCAPED = re.compile(r"\\(.)")
_LONGEST = 253
_MOST_KNOWN = 50_000
_MOST_BLOCKS = 200_000
_MOST_BLOCK_BYTES = 32_000_000

EDGE = "le"
"""Label with the edge that a bucket of a classic histogram counts up to."""
Labels = tuple[tuple[str, str], ...]
"""Names and values of the labels of a series, sorted by name."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label, as PromQL has it; a label that is not there is empty."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Check whether a series with these labels meets it."""
        found = labels.get(self.label, "")
        if self.operator in {"=~", "!~"}:
            is_met = re2.fullmatch(self.value, found) is not None
        else:
            is_met = found == self.value
        return is_met if self.operator in {"=", "=~"} else not is_met


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """Matchers of a PromQL selector such as `name{label="value", other=~"a|b"}`.

    Raises:
        ValueError: It is no selector, has no matcher, or a wrong regular expression.
    """
    rest = text.strip()
    matchers = []
    name = _NAME.match(rest)
    if name:
        matchers.append(Matcher("__name__", "=", name[0]))
        rest = rest[name.end() :].strip()
    if rest:
        if not (rest.startswith("{") and rest.endswith("}")):
            raise ValueError(f"match={text!r} must be a selector, e.g. 'metric{{label=\"value\"}}'")
        matchers += _matchers(text, rest[1:-1])
    if not matchers:
        raise ValueError(f"match={text!r} must hold a metric name or a matcher")
    return tuple(matchers)


def _matchers(text: str, inner: str) -> list[Matcher]:
    found = []
    position = 0
    while inner[position:].strip():
        part = _MATCHER.match(inner, position)
        if part is None or (part.end() < len(inner) and inner[part.end()] != ","):
            raise ValueError(
                f'match={text!r}: must hold matchers like label="value" with =, !=, =~ or !~ '
                f"between commas, got {inner[position:][:60]!r}"
            )
        value = _ESCAPED.sub(lambda one: "\n" if one[1] == "n" else one[1], part[3][1:-1])
        if part[2] in {"=~", "!~"}:
            _check_expression(text, value)
        found.append(Matcher(part[1], part[2], value))
        position = part.end() + 1
    return found


def _check_expression(text: str, value: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        raise ValueError(f"match={text!r}: {value!r} is no RE2 expression ({error})") from error


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Model):
    """Indicator that the samples of the series that `match` selects belong to.

    Attributes:
        match: A PromQL selector.
        namespace: Text in which `$label` stands for the value of a label of the series.
        workload: The same.
        indicator: The same.
    """

    match: tuple[Matcher, ...]
    namespace: str = "$namespace"
    workload: str = "$workload"
    indicator: str = "$indicator"

    @field_validator("match", mode="before")
    @classmethod
    def _selector(cls, value: object) -> object:
        return parse_selector(value) if isinstance(value, str) else value

    @field_validator("namespace", "workload", "indicator")
    @classmethod
    def _template(cls, value: str) -> str:
        if not value or not Template(value).is_valid():
            raise ValueError(f"{value!r} must be text in which $label names a label ($$ is a $)")
        return value

    def name_of(self, labels: Mapping[str, str]) -> PushedSeriesName | None:
        """The indicator of a series; None where the rule does not match or lacks a label."""
        if not all(matcher.matches(labels) for matcher in self.match):
            return None
        try:
            words = [
                Template(text).substitute(labels)
                for text in (self.namespace, self.workload, self.indicator)
            ]
        except KeyError:
            return None
        if not all(0 < len(word) <= _LONGEST and "\0" not in word for word in words):
            return None
        return PushedSeriesName(*words)


class SenderSeries(NamedTuple):
    """A series of a sender, as the rules see it.

    Attributes:
        name: The indicator that it is of; None: none of Harmony's.
        identity: Tells it from other series.
        is_count: Its indicator is a count of an objective, or a histogram that becomes some.
    """

    name: PushedSeriesName | None
    identity: Identity
    is_count: bool


class RemoteRules(_Model):
    """Rules for the series of remote writes.

    Attributes:
        rules: In order; the first that matches counts.
        ignore_labels: Labels that tell apart the replicas of a Prometheus, which write copies of
            one series.
    """

    rules: tuple[Rule, ...] = Field(min_length=1)
    ignore_labels: tuple[str, ...] = ("prometheus", "prometheus_replica", "replica", "__replica__")

    # the series of a sender are the same ones again and again
    _known: dict[Labels, SenderSeries] = PrivateAttr(default_factory=dict)
    _n_known_chars: int = PrivateAttr(0)
    _blocks: dict[bytes, SenderSeries] = PrivateAttr(default_factory=dict)
    _n_block_bytes: int = PrivateAttr(0)

    def name_of(self, labels: Labels) -> PushedSeriesName | None:
        """The indicator that a series is of; None: none of Harmony's."""
        return self.series_of(labels).name

    def series_of(self, labels: Labels) -> SenderSeries:
        """What a series with these labels is."""
        found = self._known.get(labels)
        if found is None:
            # labels may be as long as a request: what is kept of them is bounded, not only counted
            n_chars = sum(len(name) + len(value) for name, value in labels)
            self._n_known_chars += n_chars
            if len(self._known) >= _MOST_KNOWN or self._n_known_chars > _MOST_BLOCK_BYTES:
                self._known.clear()
                self._n_known_chars = n_chars
            found = self._known[labels] = self._matched(labels)
        return found

    def recall(self, blocks: Iterable[bytes]) -> list[SenderSeries | None]:
        """What series are by the bytes of their labels; None: not learned, or forgotten."""
        return list(map(self._blocks.get, blocks))

    def learn(self, block: bytes, labels: Labels) -> SenderSeries:
        """What a series is; it is recalled by the bytes of its labels while there is room."""
        found = self._matched(labels)
        self._n_block_bytes += len(block)
        if len(self._blocks) >= _MOST_BLOCKS or self._n_block_bytes > _MOST_BLOCK_BYTES:
            self._blocks.clear()
            self._n_block_bytes = len(block)
        self._blocks[block] = found
        return found

    def _matched(self, labels: Labels) -> SenderSeries:
        found = dict(labels)
        names = (rule.name_of(found) for rule in self.rules)
        name = next((name for name in names if name is not None), None)
        is_count = name is not None and name.indicator.startswith(SERIES_PREFIX)
        return SenderSeries(name, self.identity_of(labels), is_count)

    def identity_of(self, labels: Labels) -> Identity:
        """Tells series apart, and the replicas that write one."""
        series = tuple(pair for pair in labels if pair[0] not in self.ignore_labels)
        replica = tuple(pair for pair in labels if pair[0] in self.ignore_labels)
        return Identity(hash(series), hash(replica))

    def pod_of(self, labels: Labels) -> Identity:
        """Tells pods apart, whose buckets of one histogram are one; the same in every process."""
        own = [f"{n}\0{v}" for n, v in labels if n not in self.ignore_labels and n != EDGE]
        digest = blake2b("\0".join(own).encode(), digest_size=8).digest()
        return Identity(int.from_bytes(digest, signed=True), self.identity_of(labels).replica)


DEFAULT_RULES = RemoteRules.model_validate({"rules": [{"match": "harmony:indicator"}]})
"""Series of the recording rule `harmony:indicator` that carry the three names as labels."""


def parse_rules(text: str) -> RemoteRules:
    """The rules of a setting; the default ones where it is empty.

    Raises:
        ConfigurationError: It is not YAML, or not of the documented shape.
    """
    if not text.strip():
        return DEFAULT_RULES
    try:
        return RemoteRules.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"{_SETTING}: not YAML ({' '.join(str(error).split())})"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigurationError(f"{_SETTING}: {where}: {first['msg']}") from error
