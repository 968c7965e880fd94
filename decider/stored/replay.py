"""A decision from its stored inputs, to the same bytes.

What its forecast holds is brought by whoever replays, from the very row that it was made from;
`forecast_of` says what that must be. Inputs of earlier formats hold everything themselves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields as dataclass_fields, replace
from typing import Any

import numpy as np

from decider.config import REVISION, DecideConfig, FallbackConfig, RiskControlConfig, TrailingRule
from decider.decide import decide_shard
from decider.errors import ReplayMismatch
from decider.explain import decision_to_dict
from decider.fleet_types import FleetVerdict
from decider.miss_draws import MissDraws
from decider.pool_types import PoolPlace
from decider.result import Decision
from decider.step_quantiles import StepQuantiles
from decider.stored.input_bytes import unpack
from decider.stored.inputs import ForecastArrays, further_name, of_pool
from decider.types import (
    Control,
    DirectionRules,
    FloatArray,
    Hardware,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    SpotReplicas,
    WorkloadInput,
)
from decider.variant_types import MixVerdict, SpotShare, VariantSet, VariantState

_LONG_RUN = "long_run"
"""The way to share risk over time that format 1 names, and that is left."""
_ONE_STEP_S = 1e-3
"""Before the newest demand was averaged, the newest step alone was looked at."""


def decision_bytes(decision: Decision) -> bytes:
    """Canonical bytes of a decision: what a replay must reproduce."""
    return json.dumps(decision_to_dict(decision), separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class ForecastNeed:
    """The forecast that inputs were made from.

    Attributes:
        further: Names of the further loads, in the order of the decision.
        has_pools: Each load has paths; those that were not forecast are unknown, not left out.
        digest: Of its arrays.
    """

    further: tuple[str, ...]
    has_pools: bool
    digest: str


def forecast_of(blob: bytes) -> ForecastNeed | None:
    """What a replay needs of the decision's forecast; None: the inputs hold everything.

    Raises:
        ReplayMismatch: The bytes are not a decision's inputs, or of another format version.
    """
    header, _ = unpack(blob)
    if "forecast" not in header:
        return None
    given = header["forecast"]
    return ForecastNeed(tuple(given["further"]), "pools" in header, given["digest"])


def inputs_from_bytes(
    blob: bytes, forecast: ForecastArrays | None = None
) -> tuple[ShardRequest, DecideConfig, float, float]:
    """Read inputs back.

    Args:
        blob: The inputs.
        forecast: What the decision took from its forecast; None: the inputs hold it.

    Returns:
        The request of one workload, or of all pools of a service, the configuration, `now_s` and
        `valid_for_s`.

    Raises:
        ReplayMismatch: The bytes are not a decision's inputs, or of another format version, or the
            forecast is not the one that was decided on.
    """
    header, wide = unpack(blob)
    _check_forecast(header, forecast)
    fields = header.get("pools", [header])
    response = MissDraws.from_array(wide["response"]) if "response" in wide else None
    owns = [wide if "pools" not in header else _of_row(wide, i) for i in range(len(fields))]
    taken = [
        _kept(one, own) if forecast is None else _taken(one, forecast)
        for one, own in zip(fields, owns, strict=True)
    ]
    has_further = any(one.further is not None for one in taken)
    request = ShardRequest(
        tuple(
            _workload(one["workload"], own["demand"]) for one, own in zip(fields, owns, strict=True)
        ),
        np.stack([one.paths for one in taken]),
        np.concatenate([own["capacity_draws"] for own in owns]),
        np.concatenate([own["lead_time_draws_s"] for own in owns]),
        header["step_s"],
        responses=(response,) * len(owns) if response is not None else (),
        further_paths=tuple(one.further for one in taken) if has_further else (),
        quantiles=(taken[0].steps,) if taken[0].steps is not None else (),
        reach=header.get("reach", 0),
    )
    config = _config(header, has_response=response is not None)
    return request, config, header["now_s"], header["valid_for_s"]


def _check_forecast(header: Mapping[str, Any], forecast: ForecastArrays | None) -> None:
    needed = header.get("forecast")
    if needed is None and forecast is not None:
        raise ReplayMismatch("the inputs hold their own paths: no forecast belongs to them")
    if needed is not None and forecast is None:
        raise ReplayMismatch("the inputs hold no paths: the decision's forecast is needed")
    if needed is not None and forecast is not None and forecast.digest() != needed["digest"]:
        raise ReplayMismatch("the forecast is not the one that was decided on")


@dataclass(frozen=True, slots=True, eq=False)
class _RowPaths:
    """Arrays of one row's forecast: paths (S, H), further ones (F, S, H), quantile function."""

    paths: FloatArray
    further: FloatArray | None
    steps: StepQuantiles | None


def _kept(fields: Mapping[str, Any], own: Mapping[str, FloatArray]) -> _RowPaths:
    """What the inputs hold themselves."""
    scales = fields.get("further_scales", [])
    more = [own[further_name(g)] * scale for g, scale in enumerate(scales)]
    steps = None
    if "quantiles" in own:
        steps = StepQuantiles(own["quantile_levels"], own["quantiles"])
    paths = own["paths"][0] * fields.get("path_scale", 1.0)
    return _RowPaths(paths, np.stack(more) if more else None, steps)


def _taken(fields: Mapping[str, Any], forecast: ForecastArrays) -> _RowPaths:
    """What is taken from the forecast."""
    pool = fields["workload"].get("pool")
    first, *others = range(len(forecast.loads)) if pool is None else pool["loads"]
    further = forecast.loads[others] if fields["has_further"] else None
    steps = forecast.quantiles if fields["by_quantiles"] else None
    return _RowPaths(forecast.loads[first], further, steps)


def _of_row(wide: Mapping[str, FloatArray], row: int) -> dict[str, FloatArray]:
    start = of_pool(row, "")
    return {name[len(start) :]: t for name, t in wide.items() if name.startswith(start)}


def replay_decision(blob: bytes, forecast: ForecastArrays | None = None) -> Decision:
    """Make the decision again from its stored inputs, and its forecast if they lack it."""
    row = int(unpack(blob)[0].get("row", 0))
    return replay_service(blob, forecast)[row]


def replay_service(blob: bytes, forecast: ForecastArrays | None = None) -> tuple[Decision, ...]:
    """Make the decisions about all pools of a service again, or that about one workload."""
    request, config, now_s, valid_for_s = inputs_from_bytes(blob, forecast)
    return decide_shard(request, config, now_s, valid_for_s)


def _config(header: Mapping[str, Any], *, has_response: bool) -> DecideConfig:
    plain = dict(header["config"])
    if has_response:
        plain.setdefault("max_backlog_steps", 0.0)  # decided before queues were remembered
        plain["response_spread_sigma"] = plain["spread_sigma"]  # of its own paths: `_settings`
    sharing = plain.pop("sharing", _LONG_RUN)
    if sharing != _LONG_RUN:
        raise ReplayMismatch(f"sharing={sharing!r}: this version decides by {_LONG_RUN!r} alone")
    fallback = FallbackConfig(**({"last_demand_s": _ONE_STEP_S} | plain["fallback"]))
    if "rise_deviations" not in plain["fallback"] and fallback.averaged_steps(header["step_s"]) > 1:
        fallback = replace(fallback, rise_deviations=math.inf)  # by the mean alone
    plain["fallback"] = fallback
    known = {one.name for one in dataclass_fields(RiskControlConfig)}  # format 1 has more
    plain["risk"] = RiskControlConfig(**{k: v for k, v in plain["risk"].items() if k in known})
    plain["epsilons"] = tuple(plain["epsilons"])
    plain["change_cost_step_s"] = 0.0  # costs are those of its own step: `_settings`
    revision = header.get("revision", 1)
    if revision > REVISION:
        raise ReplayMismatch(f"revision={revision!r}: this version decides by {REVISION} at most")
    plain["revision"] = revision
    return DecideConfig(**plain)


def _workload(fields: Mapping[str, Any], demand: FloatArray) -> WorkloadInput:
    plain = dict(fields)
    replicas = dict(plain["replicas"])
    replicas["starting_age_s"] = tuple(replicas["starting_age_s"])
    replicas["pending_age_s"] = tuple(replicas["pending_age_s"])
    spot = replicas.get("spot")
    replicas["spot"] = SpotReplicas(**spot) if spot else None
    limits = dict(plain["limits"])
    limits["scale_up"], limits["scale_down"] = (
        _rules(limits[name]) for name in ("scale_up", "scale_down")
    )
    history = dict(plain["history"], demand=demand)
    for name in ("changes", "recommendations"):
        history[name] = tuple((float(at), int(n)) for at, n in history[name])
    plain |= {
        "replicas": ReplicaState(**replicas),
        "limits": Limits(**limits),
        "sla": Sla(**plain["sla"]),
        "hardware": Hardware(**plain["hardware"]),
        "control": Control(**plain["control"]),
        "history": History(**history),
        "risk": RiskState(**plain["risk"]),
        "verdict": FleetVerdict(**plain["verdict"]) if plain["verdict"] else None,
    }
    rule = plain.get("trailing_rule")
    plain["trailing_rule"] = TrailingRule(**rule) if rule else None
    variants = plain.get("variants")
    plain["variants"] = _variants(variants) if variants else None
    pool = plain.get("pool")
    plain["pool"] = PoolPlace(**(pool | {"loads": tuple(pool["loads"])})) if pool else None
    plain["further_capacity"] = tuple(plain.get("further_capacity", ()))
    return WorkloadInput(**plain)


def _variants(fields: Mapping[str, Any]) -> VariantSet:
    verdict = fields["verdict"]
    if verdict is not None:
        prices = tuple((str(name), float(price)) for name, price in verdict["prices"])
        counts = tuple(int(n) for n in verdict["counts"])
        verdict = MixVerdict(**(dict(verdict) | {"prices": prices, "counts": counts}))
    return VariantSet(tuple(_variant_state(state) for state in fields["states"]), verdict)


def _variant_state(fields: Mapping[str, Any]) -> VariantState:
    spot = fields.get("spot")
    if spot is None:
        return VariantState(**fields)
    share = SpotShare(SpotReplicas(**spot["places"]), spot["of"])
    return VariantState(**(dict(fields) | {"spot": share}))


def _rules(fields: Mapping[str, Any]) -> DirectionRules:
    plain = dict(fields)
    plain["policies"] = tuple(RatePolicy(**policy) for policy in plain["policies"])
    return DirectionRules(**plain)
