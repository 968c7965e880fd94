"""How full a pool's replicas are, of an autoscaler: wrong indicators are refused, by the rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.operator.resource.admission_cases import (
    AHEAD,
    DEMAND,
    assert_refused,
    assert_understood,
    post,
)
from tests.unit.operator.variants import pool

pytestmark = pytest.mark.integration

RATE = "request_rate_rps"
TOKENS: dict[str, Any] = {"name": "output_tokens_per_s", "level": 1}
KV: dict[str, Any] = {"name": "kv_cache_ratio", "level": 2, "unit": "ratio"}
ZERO = KV | {"gap": "Zero", "query": "avg(avg_over_time(vllm:kv_cache_usage_perc[$step]))"}


def pools(prefill: str | None, decode: str | None, *indicators: dict[str, Any]) -> dict[str, Any]:
    """Changes to two pools, each with what says how full it is; without indicators vLLM's."""
    given = {"prefill": (prefill, RATE), "decode": (decode, TOKENS["name"])}
    measured = {"indicators": [DEMAND, TOKENS, *indicators]} if indicators else {
        "indicators": None, "indicatorsFrom": ["vllm"],
    }  # fmt: skip
    return measured | {
        "scaleTargetRef": None,
        "gpuType": None,
        "capacity.alsoBoundBy": [{"indicator": TOKENS["name"], "perReplica": "2400"}],
        "pools": [
            pool(name, load) | ({} if full is None else {"occupancyIndicator": full})
            for name, (full, load) in given.items()
        ],
    }


def taken_of(of: str, *given: str | None) -> dict[str, Any]:
    """Changes to two pools, of which decode says what its occupancy is the share of."""
    changes = pools(*given, KV)
    changes["pools"][1]["occupancyOf"] = of
    return changes


NAMED = "occupancyIndicator of a pool must be the name of one of the indicators"
BAD: list[tuple[dict[str, Any], str, str]] = [
    (pools(None, "", KV), "spec.pools[1].occupancyIndicator", "at least 1"),
    (pools(None, "a" * 64, KV), "spec.pools[1].occupancyIndicator", "63"),
    (pools(None, "nothing", KV), "spec", NAMED),
    (pools(None, "nothing"), "spec", NAMED),
    (pools("queue_requests", None), "spec", NAMED),
    (pools(None, KV["name"], KV | {"kind": "counter"}), "spec", NAMED),
    (pools(None, KV["name"], KV | {"unit": "percent"}), "spec", NAMED),
    (pools(None, KV["name"], ZERO), "spec", NAMED),
    (pools(None, "campaign", AHEAD), "spec", NAMED),
    (
        # what is written out takes the place of the preset's
        pools(None, KV["name"], KV | {"kind": "counter"}) | {"indicatorsFrom": ["vllm"]},
        "spec",
        NAMED,
    ),
    (pools(RATE, None, KV), "spec", "must be another indicator than the loads"),
    (pools(TOKENS["name"], None, KV), "spec", "must be another indicator than the loads"),
    (pools(KV["name"], KV["name"], KV), "spec.pools", "an occupancyIndicator of its own"),
    (pools(KV["name"], KV["name"]), "spec.pools", "write the other's out among the indicators"),
    (taken_of("Time", None, None), "spec.pools", "occupancyOf of a pool must be left out without"),
    (taken_of("time", None, KV["name"]), "spec.pools[1].occupancyOf", "Room"),
]


@pytest.mark.parametrize(("changes", "field", "words"), BAD, ids=lambda v: str(v)[:60])
def test_a_wrong_occupancy_indicator_is_refused(
    api: httpx.Client, changes: dict[str, Any], field: str, words: str
) -> None:
    assert_refused(post(api, changes), field, words)


PREFILL_KV = KV | {"name": "prefill_kv_ratio"}
GOOD: list[dict[str, Any]] = [
    pools(None, None),
    pools(None, KV["name"]),
    pools(None, KV["name"], KV),
    pools(None, "taken", {"name": "taken", "level": 2}),
    pools(PREFILL_KV["name"], KV["name"], KV, PREFILL_KV),
    pools(PREFILL_KV["name"], KV["name"], PREFILL_KV) | {"indicatorsFrom": ["vllm"]},
    taken_of("Time", None, KV["name"]),
    taken_of("Room", None, KV["name"]),
]


@pytest.mark.parametrize("changes", GOOD, ids=lambda v: str(v)[:60])
def test_a_right_occupancy_indicator_is_understood(
    api: httpx.Client, changes: dict[str, Any]
) -> None:
    assert_understood(post(api, changes))
