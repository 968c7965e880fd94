"""Training of the prior: the network of a fit, on made-up demand and public traces.

It knows no workload and no indicator by name, and reads the demand alone, scaled by itself. So it
can answer for any workload, and every fit can begin with its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from forecaster.choice.ladder import PRIOR_RUNG
from forecaster.config import ForecasterConfig, TrainConfig, TreeConfig
from forecaster.dataset import Examples, Origins, is_trainable
from forecaster.network.model import Vocabulary
from forecaster.predict import TrainedModel
from forecaster.pretrain.demand import coarser, univariate
from forecaster.pretrain.kernels import Grid
from forecaster.training.checkpoint import digest
from forecaster.training.loop import FitProgress
from forecaster.training.resume import (
    FitIdentity,
    fit_identity,
    state_from_bytes,
    state_to_bytes,
)
from forecaster.training.trainer import OnProgress, Trainer
from forecaster.types import F64, I64, Series

TRACE_RATIO = 0.7
"""Share of a public trace, at its start, that the prior may see."""
TRACE_STEPS_S = (300, 600, 1800, 3600)
"""Step lengths that a trace is read in besides its own."""
MIN_TRACE_STEPS = 400
MIN_WEIGHT = 0.1
"""Least weight of a window: of the square root of its scale over the series' one."""
TRACE_SHARE = 0.4
"""Share of the training windows that are drawn from traces, where there are any."""


def prior_config() -> ForecasterConfig:
    """The network of a fit, without trees; little is disturbed, as no window comes back."""
    train = TrainConfig(
        max_windows=20_000,
        max_validation_windows=6_000,
        epochs=80,
        patience=80,
        learning_rate=2e-3,
        dropout=0.05,
        input_dropout=0.02,
        input_noise=0.03,
        shift_share=0.05,
        cold_share=0.5,
        shortest=6,
        average_decay=0.995,
    )
    return ForecasterConfig(train=train, trees=TreeConfig(is_used=False))


@dataclass(frozen=True, slots=True)
class PriorResult:
    """A trained prior.

    Args:
        model: The network.
        n_series: Histories that it was trained on, made-up ones and views of traces.
        history: Progress lines.
    """

    model: TrainedModel
    n_series: dict[str, int]
    history: tuple[FitProgress, ...]


def trace_views(series: Sequence[Series]) -> Iterator[Series]:
    """The first part of every indicator of a trace as a demand of its own, in several steps."""
    for one in series:
        seen = one.head(round(TRACE_RATIO * one.n_steps))
        for k, name in enumerate(seen.indicators):
            values, observed = seen.values[:, k], seen.observed[:, k]
            if not observed.any() or values[observed].std() == 0 or values[observed].min() < 0:
                continue
            grid = Grid(seen.n_steps, seen.step_s, seen.start_s)
            view = univariate(f"{one.workload}/{name}", values.astype(np.float64), observed, grid)
            for step_s in sorted({seen.step_s, *TRACE_STEPS_S}):
                if step_s % seen.step_s or seen.n_steps * seen.step_s < MIN_TRACE_STEPS * step_s:
                    continue
                yield view if step_s == seen.step_s else coarser(view, step_s)


@dataclass(frozen=True, slots=True)
class EvenDraw:
    """Draws a history by its weight, then one of its origins, so that no long one takes over.

    Args:
        weights: `(W,)` how likely each history is, up to a factor.
    """

    weights: F64

    @classmethod
    def of(cls, n_made_up: int, n_traces: int) -> EvenDraw:
        """Weights of made-up histories, then of views of traces."""
        share = TRACE_SHARE if n_traces else 0.0
        made_up = np.full(n_made_up, (1 - share) / max(n_made_up, 1))
        return cls(np.concatenate([made_up, np.full(n_traces, share / max(n_traces, 1))]))

    def __call__(self, origins: Origins, n_most: int, generator: torch.Generator) -> Origins:
        """See `Choose`; an origin may be drawn twice."""
        used, first, count = np.unique(origins.which, return_index=True, return_counts=True)
        weights = torch.from_numpy(self.weights[used])
        n_drawn = min(n_most, origins.which.size)
        drawn = torch.multinomial(weights, n_drawn, replacement=True, generator=generator).numpy()
        place = torch.rand(n_drawn, generator=generator, dtype=torch.float64).numpy()
        at: I64 = first[drawn] + np.floor(place * count[drawn]).astype(np.int64)
        return origins.take(np.sort(at))


class PriorTrainer(Trainer):
    """A training run that leaves out windows from which nothing can be learned."""

    def _examples(self, origins: Origins, generator: torch.Generator | None = None) -> Examples:
        """See `Trainer`; a window that hardly moves says nothing of a series that does.

        Its scale is next to none, and what follows lies thousands of those away.
        """
        found = super()._examples(origins, generator)
        return found.rows((found.weight.amax(dim=(1, 2)) > MIN_WEIGHT).nonzero()[:, 0])


def fit_prior(  # noqa: PLR0913 - what fixes the result, then how to run
    made_up: Sequence[Series],
    traces: Sequence[Series],
    config: ForecasterConfig,
    seed: int,
    *,
    n_epochs: int | None = None,
    on_progress: OnProgress | None = None,
    resume: bytes | None = None,
    on_checkpoint: Callable[[bytes], None] | None = None,
    device: str = "cpu",
) -> PriorResult:
    """Train a prior.

    Args:
        made_up: Of `made_up_demand`.
        traces: Of `trace_views`.
        config: Configuration, of `prior_config`.
        seed: Fixes first parameters and the order of examples: same seed, same bytes.
        n_epochs: Passes; None: all that the configuration names. Where they are fewer, the
            learning rate falls as over all of those until the last few.
        on_progress: Called after each epoch.
        resume: State of this same training after some epoch, to go on from.
        on_checkpoint: Called after each epoch with that state.
        device: Where torch computes.

    Raises:
        CheckpointError: If `resume` is damaged, or of another training, be it one of more passes.
    """
    kinds = {"synthetic": made_up, "traces": traces}
    parts = {kind: [s for s in part if is_trainable(s, config)] for kind, part in kinds.items()}
    series = [*parts["synthetic"], *parts["traces"]]
    identity = _identity(series, config, seed, n_epochs)
    state = None if resume is None else state_from_bytes(resume, identity)
    draw = EvenDraw.of(len(parts["synthetic"]), len(parts["traces"]))
    trainer = PriorTrainer(series, config, seed, device, Vocabulary((), ()), draw)
    trainer.on_progress, trainer.n_epochs = on_progress, n_epochs
    if on_checkpoint is not None:
        trainer.on_state = lambda now: on_checkpoint(state_to_bytes(now, identity))
    if state is not None:
        trainer.load(state)
    trainer.run()
    model = replace(trainer.frozen(), name=PRIOR_RUNG)
    model = replace(model, version=digest(model))
    n_series = {kind: len(part) for kind, part in parts.items()}
    return PriorResult(model, n_series, tuple(trainer.history))


def _identity(
    series: Sequence[Series], config: ForecasterConfig, seed: int, n_epochs: int | None
) -> FitIdentity:
    """Identity of a training: the passes set its learning rate, so those of another are refused."""
    found = fit_identity(series, config, seed)
    n_passes = config.train.epochs if n_epochs is None else n_epochs
    return replace(found, config={**found.config, "n_epochs": n_passes})
