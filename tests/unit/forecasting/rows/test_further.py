"""Further loads as they are stored: paths that come back within float16, reasons that name them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, strategies as st

from forecaster import JointPaths, window_offsets
from forecaster.config import WindowConfig
from services.forecasting.rows.further import (
    NOT_JOINT,
    unpack_further,
    with_joint,
    without_joint,
)
from services.forecasting.rows.translate import (
    ForecastRow,
    WorkloadRow,
    empty_series,
    pack_paths,
    to_windows,
)
from services.kernel.domain import CapacitySpec, FurtherLoadSpec, IndicatorSpec, WorkloadSpec
from services.kernel.domain.path_bytes import HALF

STEP_S = 600
WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6, season_lags_s=(2 * STEP_S,))
NAMES = ("output_tokens_per_s", "kv_token_seconds")
S, H = 30, 4


def workload() -> WorkloadRow:
    loads = tuple(FurtherLoadSpec(indicator=name, per_replica=5.0) for name in NAMES)
    spec = WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=tuple(
            IndicatorSpec(name=name, level=1) for name in ("load_rps", "other", *reversed(NAMES))
        ),
        capacity=CapacitySpec(per_replica=1.0, also_bound_by=loads),
    )
    return WorkloadRow(1, "shop", "chat", STEP_S, spec)


def row(rung: str = "model", reason: str = "") -> ForecastRow:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    packed, scale = pack_paths(np.ones((S, H), dtype=np.float32))
    return ForecastRow(
        1, at, "flow-1", rung, reason, STEP_S, H, [0.9], [[7.0] * H], S, packed, scale
    )


def joint(seed: int = 1, *, is_joint: bool = True) -> JointPaths:
    rng = np.random.default_rng(seed)
    demand = rng.gamma(3, 20, (S, H)).astype(np.float32)
    sizes = np.array([1e-3, 4e7])[:, None, None]
    further = (rng.gamma(3, 1, (len(NAMES), S, H)) * sizes).astype(np.float32)
    return JointPaths(demand, further, is_joint)


def test_a_series_names_the_columns_of_the_further_loads_in_their_order() -> None:
    series = empty_series(workload())
    assert [series.indicators[d] for d in series.further] == list(NAMES)
    plain = workload()
    capacity = CapacitySpec(per_replica=1.0)
    plain = replace(plain, spec=plain.spec.model_copy(update={"capacity": capacity}))
    assert empty_series(plain).further == ()


@given(st.integers(0, 10_000))
def test_paths_come_back_within_their_spread_however_far_apart_their_sizes_are(seed: int) -> None:
    given_paths = joint(seed)
    stored = with_joint(row(), NAMES, given_paths)
    assert stored.further_names == list(NAMES)
    assert stored.further_paths is not None
    assert stored.further_scales is not None
    back = unpack_further(stored.further_paths, stored.further_scales, S, H)
    assert stored.paths is not None
    assert stored.path_scale is not None
    halves = np.frombuffer(stored.paths, dtype=HALF).reshape(S, H)
    demand = halves.astype(np.float32) * stored.path_scale
    for found, drawn in zip(
        [demand, *back], [given_paths.demand, *given_paths.further], strict=True
    ):
        ordered = np.sort(drawn, axis=0)
        spread = (ordered[S - 1 - S // 4] - ordered[S // 4]).min()
        assert (np.abs(found - drawn) <= 1.001 * spread / 4 + 2**-11 * drawn).all()


def test_a_load_that_is_zero_throughout_stays_zero() -> None:
    silent = replace(joint(), further=np.zeros((2, S, H), dtype=np.float32))
    stored = with_joint(row(), NAMES, silent)
    assert stored.further_paths is not None
    assert not unpack_further(stored.further_paths, [1.0, 1.0], S, H).any()
    assert stored.further_scales == [1.0, 1.0]


def test_nothing_else_of_the_row_changes() -> None:
    stored = with_joint(row(), NAMES, joint())
    plain = row()
    assert (
        replace(
            stored,
            paths=plain.paths,
            path_scale=plain.path_scale,
            further_names=None,
            further_paths=None,
            further_scales=None,
        )
        == plain
    )


def test_loads_that_were_not_learned_together_are_told_of_the_model_only() -> None:
    assert with_joint(row(), NAMES, joint(is_joint=False)).reason == NOT_JOINT
    other = row("seasonal", "no promoted model")
    assert with_joint(other, NAMES, joint(is_joint=False)).reason == "no promoted model"


def test_a_load_that_was_never_seen_is_named_and_no_zero() -> None:
    names = [one.name for one in workload().spec.indicators]
    offsets = window_offsets(WINDOW, workload().step_s)
    values = np.full((1, offsets.size, len(names)), np.nan, dtype=np.float32)
    for name in ("load_rps", NAMES[1]):
        values[0, :, names.index(name)] = 100
    windows = to_windows([workload()], values, 0, WINDOW)
    found = without_joint(row("seasonal", "short history"), windows, 0, NAMES)
    assert found.reason == (
        "short history; no observed output_tokens_per_s in the last 48 steps: "
        "only the demand is forecast"
    )
    assert found.further_names is None
    assert found.further_paths is None
    assert replace(found, reason="short history") == row("seasonal", "short history")
