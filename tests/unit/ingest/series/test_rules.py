"""Rules that say which indicator a series is of."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest

from services.ingest.series.rules import DEFAULT_RULES, Matcher, parse_rules, parse_selector
from services.ingest.series.translate import PushedSeriesName
from services.kernel.errors import ConfigurationError

RULES = """
ignore_labels: [replica]
rules:
  - match: 'vllm:num_requests_waiting:sum{cluster="eu", deployment=~"llama-.*"}'
    workload: $deployment
    indicator: queue_requests
  - match: '{__name__=~"tokens:.+", env!="dev"}'
    namespace: serving
    workload: ${model}-$size
    indicator: output_tokens_per_s
"""


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


def test_the_first_rule_that_matches_counts() -> None:
    rules = parse_rules(RULES)
    name = "vllm:num_requests_waiting:sum"
    series = labels(__name__=name, cluster="eu", namespace="shop", deployment="llama-70b")
    assert rules.name_of(series) == PushedSeriesName("shop", "llama-70b", "queue_requests")
    series = labels(__name__="tokens:rate", model="llama", size="8b")
    assert rules.name_of(series) == PushedSeriesName("serving", "llama-8b", "output_tokens_per_s")


@pytest.mark.parametrize(
    "given",
    [
        {"__name__": "other"},
        {"__name__": "tokens:rate", "model": "llama"},  # $size is not there
        {"__name__": "tokens:rate", "model": "llama", "size": "8b", "env": "dev"},
        {"__name__": "xtokens:rate", "model": "llama", "size": "8b"},  # anchored
        {"__name__": "tokens:rate", "model": "l" * 300, "size": "8b"},
        {"__name__": "tokens:rate", "model": "l\0", "size": "8b"},
    ],
)
def test_a_series_that_no_rule_matches_is_nobodys(given: dict[str, str]) -> None:
    assert parse_rules(RULES).name_of(labels(**given)) is None


def test_without_rules_the_labels_say_it() -> None:
    assert parse_rules(" ") is DEFAULT_RULES
    series = labels(__name__="harmony:indicator", namespace="a", workload="b", indicator="c_rps")
    assert DEFAULT_RULES.name_of(series) == PushedSeriesName("a", "b", "c_rps")


def test_labels_as_long_as_a_request_are_not_kept_for_ever() -> None:
    rules = parse_rules(RULES)
    tracemalloc.start()
    try:
        for number in range(40):
            rules.series_of(labels(__name__="x", text=str(number) + 4_000_000 * "x"))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 64_000_000  # of 160 MB


def test_replicas_of_a_prometheus_write_the_same_series() -> None:
    rules = parse_rules(RULES)
    one, other = labels(__name__="x", replica="a"), labels(__name__="x", replica="b")
    assert rules.identity_of(one).series == rules.identity_of(other).series
    assert rules.identity_of(one).replica != rules.identity_of(other).replica
    another = rules.identity_of(labels(__name__="x", pod="a", replica="a"))
    assert another.series != rules.identity_of(one).series
    assert another.replica == rules.identity_of(one).replica


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("up", [Matcher("__name__", "=", "up")]),
        ("up{}", [Matcher("__name__", "=", "up")]),
        ('{job="a",}', [Matcher("job", "=", "a")]),
        ("{job!~'a|b' , env = \"x\"}", [Matcher("job", "!~", "a|b"), Matcher("env", "=", "x")]),
        (r'{job="a\"b\\c,}\n"}', [Matcher("job", "=", 'a"b\\c,}\n')]),
    ],
)
def test_selectors(text: str, wanted: list[Matcher]) -> None:
    assert list(parse_selector(text)) == wanted


@pytest.mark.parametrize(
    ("operator", "value", "found", "is_met"),
    [
        ("=", "a", "a", True),
        ("=", "", "", True),
        ("!=", "a", "", True),
        ("=~", "a|b", "b", True),
        ("=~", "a", "ab", False),
        ("!~", "a.*", "ab", False),
        ("!~", "a.*", "ba", True),
    ],
)
def test_matchers(operator: str, value: str, found: str, is_met: bool) -> None:
    given = {"job": found} if found else {}
    assert Matcher("job", operator, value).matches(given) == is_met


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [", "not YAML"),
        ("[]", "the document"),
        ("rules: []", "rules"),
        ("rules: [{workload: x}]", "rules.0.match"),
        ("rules: [{match: ''}]", "must hold a metric name or a matcher"),
        ("rules: [{match: 'sum(up)'}]", "must be a selector"),
        ("rules: [{match: '{job=a}'}]", "must hold matchers"),
        ('rules: [{match: \'{job="a" env="b"}\'}]', "must hold matchers"),
        ("rules: [{match: '{job=~\"(\"}'}]", "no RE2 expression"),
        ("rules: [{match: up, workload: '$'}]", "rules.0.workload"),
        ("rules: [{match: up, wrkload: x}]", "rules.0.wrkload"),
    ],
)
def test_wrong_rules_are_named(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        parse_rules(text)
    assert caught.value.message.startswith("HARMONY_REMOTE_WRITE_RULES: ")
    assert "\n" not in caught.value.message


def test_the_rules_of_the_documentation_are_rules() -> None:
    text = (Path(__file__).parents[4] / "docs" / "observability.md").read_text()
    (found,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if "ignore_labels:" in block
    )
    rules = parse_rules(found)
    assert rules.ignore_labels == DEFAULT_RULES.ignore_labels
    name = "vllm:num_requests_waiting:sum"
    series = labels(__name__=name, cluster="eu", namespace="shop", deployment="llama-70b")
    assert rules.name_of(series) == PushedSeriesName("shop", "llama-70b", "queue_requests")
