"""Fans at several origins as a client reads them."""

from __future__ import annotations

from typing import Any

from services.admin.series.fans_schemas import FansView, FanView, OriginView
from tests.unit.admin.shapes import documented, nullable, optional, through

T = ["2026-01-05T12:01:00Z", "2026-01-05T12:02:00Z"]
FORECAST: dict[str, Any] = {
    "id": 100000,
    "origin_at": "2026-01-05T12:00:00Z",
    "model_version": "harmony-flow-3",
    "rung": "model",
    "reason": "",
}
ORIGIN: dict[str, Any] = FORECAST | {"step_s": 60, "n_horizon": 12, "created_at": T[0]}
FAN: dict[str, Any] = FORECAST | {
    "quantile_levels": [0.1, 0.5, 0.9],
    "step_at": T,
    "quantiles": [[1.0, 1.0], [2.0, None], [3.0, 4.0]],
}
FANS: dict[str, Any] = {
    "step_s": 60,
    "unit": "tokens/s",
    "capacity_per_replica": 1800.0,
    "fans": [FAN, FAN | {"id": 100001}],
    "observed": {"step_at": T, "demand": [41.5, None]},
}


def test_an_origin_comes_through_whole() -> None:
    assert through(OriginView, ORIGIN) == ORIGIN
    assert optional(OriginView, ORIGIN) == nullable(OriginView, ORIGIN) == set()


def test_fans_come_through_whole_and_in_order() -> None:
    assert through(FanView, FAN) == FAN
    assert through(FansView, FANS) == FANS
    assert optional(FanView, FAN) == nullable(FanView, FAN) == set()
    assert optional(FansView, FANS) == nullable(FansView, FANS) == set()


def test_where_no_origin_is_there_are_no_fans() -> None:
    assert through(FansView, FANS | {"fans": []})["fans"] == []


def test_the_documented_fan_is_that_of_the_documented_origin() -> None:
    origin, fan, fans = (documented(model) for model in (OriginView, FanView, FansView))
    assert origin.items() <= ORIGIN.items()
    assert fan.items() <= FAN.items()
    assert fans.items() <= FANS.items()
    assert origin.items() >= {k: v for k, v in fan.items() if k in FORECAST}.items()
    assert fans["step_s"] == origin["step_s"]
