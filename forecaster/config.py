"""Configuration of the forecaster; every value has its default here and is checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from forecaster.errors import ConfigError

DAY_S = 86_400

QUANTILE_LEVELS = (
    *(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995),
)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """The steps that a predictor reads, and how far ahead it looks.

    Args:
        context: Context steps C.
        horizon: Steps ahead H.
        quantile_levels: Q increasing levels in (0, 1).
        season_lags_s: Seasonal lags, seconds; one block of the past is read per lag.
        season_past: Steps of each seasonal block that lie before the origin's own position.
        recent: Steps of the short window (raw inputs, recent quantiles).
    """

    context: int = 144
    horizon: int = 12
    quantile_levels: tuple[float, ...] = QUANTILE_LEVELS
    season_lags_s: tuple[int, ...] = (DAY_S, 2 * DAY_S, 7 * DAY_S)
    season_past: int = 12
    recent: int = 36

    def __post_init__(self) -> None:
        """Check ranges."""
        levels = self.quantile_levels
        _check(self.horizon >= 1, f"horizon={self.horizon} must be >= 1")
        _check(
            self.context >= max(24, self.horizon + 1),
            f"context={self.context} must be >= max(24, horizon + 1)",
        )
        _check(
            len(levels) >= 3 and all(0 < v < 1 for v in levels) and 0.5 in levels,
            f"quantile_levels={levels} must hold at least three values in (0, 1) with 0.5",
        )
        _check(sorted(set(levels)) == list(levels), f"quantile_levels={levels} must increase")
        _check(
            all(lag > 0 for lag in self.season_lags_s) and len(self.season_lags_s) > 0,
            f"season_lags_s={self.season_lags_s} must be positive",
        )
        _check(self.season_past >= 1, f"season_past={self.season_past} must be >= 1")
        _check(
            12 <= self.recent <= self.context, f"recent={self.recent} must be in 12..{self.context}"
        )

    @property
    def season_width(self) -> int:
        """Steps M in one seasonal block."""
        return self.season_past + self.horizon


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Size of the network.

    Args:
        width: Encoding width E.
        hidden: Hidden width of token and head networks.
        heads: Attention heads; divides `width`.
        attention: `hierarchical`, `full` or `none`.
        has_window_skip: Whether the head mixes the window's own quantiles (else only last value).
        flow_layers: Coupling layers of the flow; 0 means a Gaussian copula.
        flow_hidden: Hidden width of its conditioners.
        flow_context: Width of the encoding it is conditioned on.
    """

    width: int = 64
    hidden: int = 96
    heads: int = 4
    attention: str = "hierarchical"
    has_window_skip: bool = True
    flow_layers: int = 3
    flow_hidden: int = 32
    flow_context: int = 32

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(
            self.attention in ("hierarchical", "full", "none"),
            f"attention={self.attention!r} must be hierarchical, full or none",
        )
        _check(
            self.width > 0 and self.width % self.heads == 0,
            f"width={self.width} must be a multiple of heads={self.heads}",
        )
        _check(self.flow_layers >= 0, f"flow_layers={self.flow_layers} must be >= 0")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Training of the network.

    Args:
        targets: `demand` for the demand and further loads, or `all` to forecast every indicator
            (benchmarks).
        validation_ratio: Share of the history, at its end, kept for validation.
        max_windows: Training windows drawn from the history (bounds memory and time).
        max_validation_windows: Validation windows.
        batch: Windows per step.
        epochs: Most passes over the training windows.
        patience: Epochs without improvement before stopping.
        learning_rate: Peak rate of AdamW.
        weight_decay: Its decoupled decay.
        loss: `crps` (a quadrature over the quantile levels) or `nll` (log density).
        tail_weight: Extra weight of each level >= 0.95 in the CRPS loss.
        workload_dropout: Share of rows whose workload embedding is hidden in training, so that an
            unknown workload is served by the shared one.
        dropout: Share of hidden units left out of a step.
        input_dropout: Share of a token's features left out.
        input_noise: Standard deviation of the noise added to them.
        indicator_dropout: Share of indicators, other than the target, hidden from attention.
        shift_share: Share of training windows given a made-up change of level, see
            `forecaster.augment`.
        cold_share: Share of training windows made to look like a young workload's.
        shortest: Fewest steps that such a window keeps, and fewest observed ones that a trained
            model is asked with.
        average_decay: Decay of the exponential average of parameters.
        flow_epochs: Passes when fitting the flow copula.
    """

    targets: str = "demand"
    validation_ratio: float = 0.15
    max_windows: int = 20_000
    max_validation_windows: int = 4_000
    batch: int = 256
    epochs: int = 6
    patience: int = 3
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    loss: str = "crps"
    tail_weight: float = 0.02
    workload_dropout: float = 0.2
    dropout: float = 0.2
    input_dropout: float = 0.1
    input_noise: float = 0.1
    indicator_dropout: float = 0.2
    shift_share: float = 0.1
    cold_share: float = 0.05
    shortest: int = 24
    average_decay: float = 0.98
    flow_epochs: int = 6

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.targets in ("demand", "all"), f"targets={self.targets!r} must be demand or all")
        _check(self.loss in ("crps", "nll"), f"loss={self.loss!r} must be crps or nll")
        _check(
            0 < self.validation_ratio < 1,
            f"validation_ratio={self.validation_ratio} must be in (0, 1)",
        )
        _check(0 <= self.average_decay < 1, f"average_decay={self.average_decay} must be in [0, 1)")
        for name in ("workload_dropout", "dropout", "input_dropout", "indicator_dropout"):
            _check(0 <= getattr(self, name) < 1, f"{name}={getattr(self, name)} must be in [0, 1)")
        for name in ("shift_share", "cold_share"):
            _check(0 <= getattr(self, name) <= 1, f"{name}={getattr(self, name)} must be in [0, 1]")
        _check(self.input_noise >= 0, f"input_noise={self.input_noise} must be >= 0")
        for name in (
            "max_windows",
            "max_validation_windows",
            "batch",
            "epochs",
            "patience",
            "shortest",
        ):
            _check(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be >= 1")


@dataclass(frozen=True, slots=True)
class TreeConfig:
    """Training of the quantile trees beside the network.

    Args:
        is_used: Whether there are any.
        max_windows: Training windows drawn from the history, a target each.
        max_validation_windows: Validation windows.
        steps_per_window: Steps ahead drawn per window, so that more windows fit into as many rows.
        learning_rate: Shrinkage.
        n_leaves: Leaves per tree.
        min_rows_in_leaf: Fewest rows in a leaf.
        max_trees: Most trees per level.
        patience: Trees without improvement before stopping.
        id_dropout: Share of training rows whose workload is hidden, so that an unknown one is
            served by what all have in common.
    """

    is_used: bool = True
    max_windows: int = 15_000
    max_validation_windows: int = 5_000
    steps_per_window: int = 3
    learning_rate: float = 0.1
    n_leaves: int = 31
    min_rows_in_leaf: int = 200
    max_trees: int = 300
    patience: int = 20
    id_dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_windows", "max_validation_windows", "steps_per_window", "max_trees"):
            _check(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be >= 1")
        for name in ("min_rows_in_leaf", "patience"):
            _check(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be >= 1")
        _check(self.n_leaves >= 2, f"n_leaves={self.n_leaves} must be >= 2")
        _check(0 < self.learning_rate <= 1, f"learning_rate={self.learning_rate} must be in (0, 1]")
        _check(0 <= self.id_dropout < 1, f"id_dropout={self.id_dropout} must be in [0, 1)")


@dataclass(frozen=True, slots=True)
class ForecasterConfig:
    """Everything that fixes a forecaster apart from its data and seed."""

    window: WindowConfig = WindowConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    trees: TreeConfig = TreeConfig()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: On an unknown or missing section or field.
        """
        parts: dict[str, Any] = {}
        for part in fields(cls):
            section = raw.get(part.name)
            if not isinstance(section, dict):
                raise ConfigError(f"config has no section {part.name!r}")
            kind: Any = type(part.default)
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
            try:
                parts[part.name] = kind(**values)
            except TypeError as error:
                raise ConfigError(f"config section {part.name!r}: {error}") from error
        return cls(**parts)
