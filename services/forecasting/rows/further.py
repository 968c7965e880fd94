"""Forecasts of further loads: to the columns of a row, and back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from forecaster import MODEL_RUNG, JointPaths, Windows
from services.forecasting.rows.translate import ForecastRow, pack_paths
from services.kernel.domain.path_bytes import pack_loads, to_halves, unpack_loads

NOT_JOINT = (
    "the model has not learned the loads together: further ones rise and fall with the demand"
)


def with_joint(row: ForecastRow, names: Sequence[str], joint: JointPaths) -> ForecastRow:
    """A row with the paths of its demand and of its further loads, which belong together.

    Args:
        row: As it is without further loads.
        names: F further loads.
        joint: Their paths; those of the demand are the row's own in another order.
    """
    paths, scale = pack_paths(joint.demand)
    further = [to_halves(one) for one in joint.further]
    is_learned = joint.is_joint or row.rung != MODEL_RUNG
    return replace(
        row,
        reason=row.reason if is_learned else _joined(row.reason, NOT_JOINT),
        paths=paths,
        path_scale=scale,
        further_names=list(names),
        further_paths=pack_loads(np.stack([halves for halves, _ in further])),
        further_scales=[one for _, one in further],
    )


def without_joint(row: ForecastRow, windows: Windows, at: int, names: Sequence[str]) -> ForecastRow:
    """A row whose further loads cannot be forecast, with the reason.

    Args:
        row: As it is without further loads.
        windows: What it was forecast from.
        at: Its row of the windows.
        names: Its further loads.
    """
    n_steps = windows.observed.shape[1]
    columns = [windows.indicators[at].index(name) for name in names]
    is_seen = windows.observed[at][:, columns].any(axis=0)
    unseen = [name for name, seen in zip(names, is_seen, strict=True) if not seen]
    reason = "further loads have no forecast"
    if unseen:
        reason = f"no observed {', '.join(unseen)} in the last {n_steps} steps"
    return replace(row, reason=_joined(row.reason, f"{reason}: only the demand is forecast"))


def unpack_further(
    packed: bytes, scales: Sequence[float], n_paths: int, n_horizon: int
) -> npt.NDArray[np.float32]:
    """Stored paths of further loads, `(F, S, H)` in their units.

    Args:
        packed: Column `further_paths`.
        scales: F scales, column `further_scales`.
        n_paths: S.
        n_horizon: H.
    """
    halves = unpack_loads(packed, len(scales), n_paths, n_horizon)
    return halves.astype(np.float32) * np.array(scales, dtype=np.float32)[:, None, None]


def _joined(reason: str, more: str) -> str:
    return "; ".join(text for text in (reason, more) if text)
