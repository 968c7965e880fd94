"""Cheap updates between fits: the head and the workload embeddings follow the newest windows.

Encoder and flow stay frozen. A sample of older windows is replayed, so that what was learned is not
forgotten, and the newest part of the recent stretch decides whether the update is kept. A workload
that the model has not seen gets an embedding of its own, which starts at the shared one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from forecaster.config import TrainConfig
from forecaster.dataset import Examples, Origins, make_examples, origins_between, shuffled
from forecaster.errors import ConfigError
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.training.checkpoint import digest
from forecaster.training.loop import PinballLoss
from forecaster.training.stages import MarginalStage, chunks
from forecaster.types import Series

HEAD, WORKLOAD_ROWS = "head", "encoder.workload.weight"
SHARED_ROW = 0


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    """How a model is updated.

    Args:
        recent_steps: Newest steps of every series that are learned from.
        held_ratio: Share of those, at their end, that judges the update.
        max_windows: Training windows drawn, the replayed ones included.
        replay_ratio: Share of the training windows that is drawn from before the recent stretch.
        max_held_windows: Windows that judge.
        batch: Windows per step.
        epochs: Most passes over the training windows.
        patience: Passes without improvement before stopping.
        learning_rate: Peak rate.
        min_gain: Least relative improvement of the held-out loss for the update to be kept.
    """

    recent_steps: int = 432
    held_ratio: float = 0.15
    max_windows: int = 2048
    replay_ratio: float = 0.35
    max_held_windows: int = 768
    batch: int = 128
    epochs: int = 4
    patience: int = 1
    learning_rate: float = 1e-3
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("recent_steps", "max_windows", "max_held_windows", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= 1")
        if not 0 < self.held_ratio < 1:
            raise ConfigError(f"held_ratio={self.held_ratio} must be in (0, 1)")
        if not 0 <= self.replay_ratio < 1:
            raise ConfigError(f"replay_ratio={self.replay_ratio} must be in [0, 1)")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate={self.learning_rate} must be > 0")
        if self.min_gain < 0:
            raise ConfigError(f"min_gain={self.min_gain} must be >= 0")


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """A model, updated or as it was.

    Args:
        model: The updated model, or the very one that was given.
        is_updated: Which of the two.
        reason: Why, with figures.
        loss_before: Held-out loss of the model given; NaN where there was nothing to judge on.
        loss_after: Held-out loss after the best pass; NaN likewise.
        n_windows: Training windows, the replayed ones included.
        n_replayed: Those.
        added: Workloads that the updated model knows and the given one did not.
    """

    model: TrainedModel
    is_updated: bool
    reason: str
    loss_before: float
    loss_after: float
    n_windows: int
    n_replayed: int
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Origins to learn from, to replay and to judge on."""

    recent: Origins
    older: Origins
    held: Origins


def update(
    model: TrainedModel, series: Sequence[Series], config: AdaptConfig, seed: int
) -> AdaptResult:
    """Update a model on the newest windows, if that helps on windows newer still.

    Args:
        model: The model; it is left as it is.
        series: Histories on one step length, of workloads known or new.
        config: How to update.
        seed: Fixes the choice and order of windows: same seed, same bytes.

    Raises:
        IrregularSteps: If the series have different step lengths.
        TrainingDiverged: If the loss stops being finite or explodes.
    """
    parts = _split(series, model, config)
    if parts is None or parts.recent.which.size == 0 or parts.held.which.size == 0:
        reason = (
            f"no recent windows: {len(series)} series have no observed demand to learn from and to "
            f"judge on in their last {config.recent_steps} steps"
        )
        return AdaptResult(model, False, reason, float("nan"), float("nan"), 0, 0, ())
    generator = torch.Generator().manual_seed(seed)
    grown, added = _grown(model, [s.workload for s in series])
    n_replayed = min(round(config.replay_ratio * config.max_windows), parts.older.which.size)
    older = parts.older.take(shuffled(parts.older.which.size, n_replayed, generator))
    n_recent = config.max_windows - n_replayed
    recent = parts.recent.take(shuffled(parts.recent.which.size, n_recent, generator))
    held = parts.held.take(shuffled(parts.held.which.size, config.max_held_windows, generator))
    learned = Origins(
        np.concatenate([recent.which, older.which]),
        np.concatenate([recent.position, older.position]),
    )
    train = make_examples(series, learned, model.config, grown.vocabulary, generator)
    judges = make_examples(series, held, model.config, grown.vocabulary)
    before = _loss(grown, judges)
    after = _learn(grown, train, judges, config, generator)
    is_better = after < before * (1 - config.min_gain)
    reason = (
        f"held-out loss {before:.4f} -> {after:.4f} on the newest windows "
        f"({len(train)} windows learned from, {n_replayed} of them replayed)"
    )
    if not is_better:
        reason = f"kept as it was, an update does not help: {reason}"
        return AdaptResult(model, False, reason, before, after, len(train), n_replayed, ())
    grown = replace(grown, version=digest(grown))
    return AdaptResult(grown, True, reason, before, after, len(train), n_replayed, added)


def _split(series: Sequence[Series], model: TrainedModel, config: AdaptConfig) -> _Parts | None:
    """Origins by whether their whole horizon is old, recent, or in the newest part."""
    if not series:
        return None
    n_held = max(round(config.held_ratio * config.recent_steps), 2 * model.config.window.horizon)
    ends = [s.n_steps for s in series]
    held = [max(end - n_held, 0) for end in ends]
    starts = [max(end - config.recent_steps, 0) for end in ends]
    return _Parts(
        origins_between(series, model.config, list(zip(starts, held, strict=True))),
        origins_between(series, model.config, [(0, start) for start in starts]),
        origins_between(series, model.config, list(zip(held, ends, strict=True))),
    )


def _grown(model: TrainedModel, workloads: Sequence[str]) -> tuple[TrainedModel, tuple[str, ...]]:
    """A copy of the model that knows `workloads`, and those that it did not know."""
    known = model.vocabulary.workloads
    added = tuple(dict.fromkeys(w for w in workloads if w not in set(known)))
    vocabulary = Vocabulary((*known, *added), model.vocabulary.indicators)
    state = {name: value.clone() for name, value in model.net.state_dict().items()}
    for name in [name for name in state if name.endswith(WORKLOAD_ROWS)]:
        rows = state[name]
        state[name] = torch.cat([rows, rows[SHARED_ROW].expand(len(added), -1)])
    # The first parameters are overwritten at once: their generator is of no consequence.
    net = ForecastNet(model.config, vocabulary, torch.Generator().manual_seed(0))
    net.load_state_dict(state)
    net.eval()
    net.requires_grad_(requires_grad=False)
    return replace(model, net=net, vocabulary=vocabulary, version="unversioned"), added


def _learn(
    model: TrainedModel,
    train: Examples,
    held: Examples,
    config: AdaptConfig,
    generator: torch.Generator,
) -> float:
    """Train head and workload rows; leaves the best parameters, returns their held-out loss."""
    net = model.net
    free = [value for name, value in net.named_parameters() if _is_free(name)]
    for parameter in free:
        parameter.requires_grad = True
    setting: TrainConfig = replace(
        model.config.train,
        batch=config.batch,
        epochs=config.epochs,
        patience=config.patience,
        learning_rate=config.learning_rate,
        weight_decay=0.0,  # it would pull at the rows of workloads that are not among the series
        loss="crps",
        workload_dropout=0.0,
        # Few steps on few windows: what keeps a fit from learning by heart would drown the signal.
        dropout=0.0,
        input_dropout=0.0,
        input_noise=0.0,
        indicator_dropout=0.0,
    )
    levels = np.array(model.config.window.quantile_levels)
    stage = MarginalStage(net, train, held, levels, setting)
    for _ in range(stage.n_epochs):
        _, held_loss = stage.run_epoch(generator)
        if stage.judge(held_loss):
            break
    stage.finish()
    net.requires_grad_(requires_grad=False)
    return stage.best_loss


def _is_free(name: str) -> bool:
    """Whether an update may change the parameter of this name."""
    return HEAD in name.split(".") or name.endswith(WORKLOAD_ROWS)


@torch.no_grad()
def _loss(model: TrainedModel, held: Examples) -> float:
    """Held-out loss, counted as `MarginalStage` counts it."""
    levels = np.array(model.config.window.quantile_levels)
    loss = PinballLoss(levels, model.config.train.tail_weight, torch.device("cpu"))
    total = sum(
        float(loss(model.net(chunk.inputs)[0], chunk)) * len(chunk) for chunk in chunks(held)
    )
    return total / len(held)
