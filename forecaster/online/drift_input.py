"""Drift of inputs: does the newest demand still look like what the model was trained on?

The history that a model has seen is cut into windows of one length. Their level and spread (median
and mean absolute deviation, in logarithms), their shape (shares of the window-normalised values in
the bins of the whole) and their share of observed steps give a centre and how far windows usually
stray from it; a newest window that strays much further has drifted. The forecast may still be right
then: `forecaster.online.drift` tests that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from forecaster.errors import ConfigError, HistoryTooShort
from forecaster.online.drift import PIT, DriftVerdict
from forecaster.types import F64, Bool, Series

LEVEL, SPREAD, SHAPE, MISSING, STUCK = "level", "spread", "shape", "missing", "stuck"
KINDS = (LEVEL, SPREAD, SHAPE, MISSING, STUCK)
REFIT_KINDS = (PIT, LEVEL, SPREAD, SHAPE)
"""Drift that a fit may mend; a gap or a stuck sensor is shown, but must not be learned."""
FLOOR_RATIO = 0.1
"""Added to levels and spreads, as a share of the history's mean: small counts make no drift."""
USUAL_QUANTILE, MOST_BEYOND = 0.99, 10.0
"""Values count as at most so many times this quantile of the history: one wrong sample would make
any level and any spread a usual one."""


@dataclass(frozen=True, slots=True)
class InputDriftConfig:
    """When inputs have drifted.

    Args:
        window: Steps of a window; whole days are right where demand has a daily cycle.
        min_windows: Fewest windows that the history must hold; they overlap by half.
        margin: How much further than every window of the history is drift.
        log_ratio: Smallest drift of level or spread, as a logarithm of the ratio.
        stability_index: Smallest drift of shape (population stability index; the customary 0.25
            is for independent values, the steps of a window are not).
        missing: Smallest drift of the share of observed steps.
        stuck: Fewest equal steps in a row that are a stuck sensor.
    """

    window: int = 144
    min_windows: int = 5
    margin: float = 1.3
    log_ratio: float = 0.47
    stability_index: float = 0.5
    missing: float = 0.2
    stuck: int = 12

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, least in (("window", 24), ("min_windows", 3), ("stuck", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= {least}")
        for name in ("margin", "log_ratio", "stability_index", "missing"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)} must be > 0")


@dataclass(frozen=True, slots=True)
class InputReference:
    """Description of a history's demand.

    Args:
        window: Steps of the windows it was made with.
        floor: Added to levels and spreads, demand units.
        centres: Median over windows of level and spread (logarithms) and share observed.
        limits: From where on a window has drifted, per kind.
        edges: Inner bin edges of window-normalised values.
        shares: Share of the history per bin, one more than edges.
        most: What a larger value counts as; None: nothing is too large, as before there was any.
    """

    window: int
    floor: float
    centres: dict[str, float]
    limits: dict[str, float]
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    most: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(**{**raw, "edges": tuple(raw["edges"]), "shares": tuple(raw["shares"])})


def input_reference(history: Series, config: InputDriftConfig | None = None) -> InputReference:
    """Describe a history.

    Args:
        history: One workload; only its demand is read.
        config: Windows and limits.

    Raises:
        HistoryTooShort: If it holds too few windows with demand.
    """
    setting = config or InputDriftConfig()
    values, seen = _demand(history)
    starts = range(0, values.size - setting.window + 1, setting.window // 2)
    at = [slice(start, start + setting.window) for start in starts]
    at = [part for part in at if seen[part].any()]
    if len(at) < setting.min_windows:
        raise HistoryTooShort(
            f"{history.n_steps} steps of {history.workload!r} hold {len(at)} windows of "
            f"{setting.window} steps with demand; at least {setting.min_windows} are right"
        )
    usual = np.quantile(values[seen], USUAL_QUANTILE, method="lower")
    most = MOST_BEYOND * float(usual) or None
    values = _bounded(values, most)
    floor = max(FLOOR_RATIO * float(np.abs(values[seen]).mean()), 1e-9)
    facts = [_facts(values[part], seen[part], floor) for part in at]
    centres = {k: float(np.median([one[k] for one in facts])) for k in (LEVEL, SPREAD, MISSING)}
    scaled = [_normalised(values[part], seen[part]) for part in at]
    edges = np.unique(np.quantile(np.concatenate(scaled), np.linspace(0.1, 0.9, 9)))
    shares = _shares(np.concatenate(scaled), edges)
    found = {k: [abs(one[k] - centres[k]) for one in facts] for k in (LEVEL, SPREAD, MISSING)}
    found[SHAPE] = [_stability_index(_shares(one, edges), shares) for one in scaled]
    least = {
        LEVEL: setting.log_ratio,
        SPREAD: setting.log_ratio,
        SHAPE: setting.stability_index,
        MISSING: setting.missing,
    }
    limits = {k: max(least[k], setting.margin * max(found[k])) for k in least}
    limits[STUCK] = float(max(setting.stuck, 2 * _longest_run(values[seen])))
    return InputReference(setting.window, floor, centres, limits, tuple(edges), tuple(shares), most)


def input_verdicts(
    recent: Series, known: InputReference, since_s: Mapping[str, int]
) -> list[DriftVerdict]:
    """Compare the newest window with the reference; one verdict per kind.

    Args:
        recent: The newest steps, of which the last `known.window` are read.
        known: What the history looked like.
        since_s: Kind to epoch seconds since when it has drifted, of the last time this was asked.
    """
    values, seen = _demand(recent, known.window)
    values = _bounded(values, known.most)
    now_s = recent.last_s
    if not seen.any():
        return [
            DriftVerdict(recent.workload, kind, 0.0, known.limits[kind], None, "no demand observed")
            for kind in (LEVEL, SPREAD, SHAPE, STUCK)
        ] + [_verdict(recent.workload, MISSING, known.centres[MISSING], known, since_s, now_s)]
    facts = _facts(values, seen, known.floor)
    facts[MISSING] = float(seen.sum()) / known.window  # steps before the first one are gaps too
    scaled = _normalised(values, seen)
    statistics = {kind: abs(facts[kind] - known.centres[kind]) for kind in (LEVEL, SPREAD)}
    statistics[SHAPE] = _stability_index(_shares(scaled, np.array(known.edges)), known.shares)
    statistics[MISSING] = max(known.centres[MISSING] - facts[MISSING], 0.0)
    newest = values[seen]
    statistics[STUCK] = float(newest.size - 1 - np.append(-1, _changes(newest))[-1])
    return [
        _verdict(recent.workload, kind, statistics[kind], known, since_s, now_s) for kind in KINDS
    ]


def _verdict(
    workload: str,
    kind: str,
    statistic: float,
    known: InputReference,
    since_s: Mapping[str, int],
    now_s: int,
) -> DriftVerdict:
    limit = known.limits[kind]
    since = since_s.get(kind, now_s) if statistic >= limit else None
    words = {
        LEVEL: f"median differs by a factor of {np.exp(statistic):.2f} from the training windows",
        SPREAD: f"deviation differs by a factor of {np.exp(statistic):.2f} from training windows",
        SHAPE: f"stability index of the values is {statistic:.2f}",
        MISSING: f"share of observed steps is {statistic:.2f} lower than in training",
        STUCK: f"the last {statistic:.0f} values are equal",
    }
    shown = np.exp(limit) if kind in (LEVEL, SPREAD) else limit
    return DriftVerdict(
        workload, kind, statistic, limit, since, f"{words[kind]}, the limit is {shown:.2f}"
    )


def _demand(series: Series, n_last: int | None = None) -> tuple[F64, Bool]:
    """The demand's newest steps, or all of them."""
    at, start = series.demand_index, 0 if n_last is None else max(series.n_steps - n_last, 0)
    return series.values[start:, at].astype(np.float64), series.observed[start:, at]


def _bounded(values: F64, most: float | None) -> F64:
    return values if most is None else np.minimum(values, most)


def _facts(values: F64, seen: Bool, floor: float) -> dict[str, float]:
    """Logarithms of level and spread, and the share observed, of one window."""
    median = float(np.median(values[seen]))
    spread = float(np.abs(values[seen] - median).mean())
    return {
        LEVEL: float(np.log(median + floor)),
        SPREAD: float(np.log(spread + floor)),
        MISSING: float(seen.mean()),
    }


def _normalised(values: F64, seen: Bool) -> F64:
    """Observed values in units of the window's own spread around its median."""
    own = values[seen]
    median = np.median(own)
    spread = max(float(np.abs(own - median).mean()), 1e-3 * abs(float(median)), 1e-9)
    return np.asarray((own - median) / spread, dtype=np.float64)


def _shares(values: F64, edges: F64) -> F64:
    """Share of values per bin; each bin gets half a value more, so that none is empty."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1)
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size), dtype=np.float64)


def _stability_index(shares: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Population stability index of two distributions over the same bins."""
    p, q = np.asarray(shares, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    return float(((p - q) * np.log(p / q)).sum())


def _changes(values: F64) -> npt.NDArray[np.intp]:
    """Positions after which the value changes."""
    return np.flatnonzero(np.diff(values) != 0)


def _longest_run(values: F64) -> int:
    """Length of the longest stretch of equal values."""
    edges = np.concatenate([[-1], _changes(values), [values.size - 1]])
    return int(np.diff(edges).max())
