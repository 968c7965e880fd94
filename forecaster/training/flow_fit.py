"""Fitting the flow copula: the Gaussian copula in closed form, the rest by maximum likelihood."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from forecaster.errors import TrainingDiverged
from forecaster.network.flow import FlowCopula, Scores
from forecaster.training.loop import batches, load_optimiser, named, optimiser_tensors, set_rate

FLOW = "flow"
"""Name of the stage."""
BATCH = 512
RATE = 8e-3
LAST_RATE = 0.02
GRADIENT_NORM = 1.0
SHRINKAGE = 0.02


@dataclass(frozen=True, slots=True)
class FlowGain:
    """Held-out mean log density, nats per window, of the Gaussian copula and of the fitted flow."""

    gaussian: float
    fitted: float


def correlation_of(z: Tensor, present: Tensor | None = None) -> Tensor:
    """Shrunk correlation `(D, D)` of scores, positive definite.

    Two targets that are never present together get no correlation. A correlation put together from
    different windows may have negative eigenvalues: they are raised to the shrinkage.

    Args:
        z: `(N, D)`.
        present: `(N, G)`; all when not given.
    """
    if present is None:
        seen = torch.ones_like(z)
    else:
        seen = present.to(z.dtype).repeat_interleave(z.shape[1] // present.shape[1], dim=1)
    centred = (z - (z * seen).sum(0) / seen.sum(0).clamp(min=1)) * seen
    product = centred.T @ centred
    energy = (centred**2).T @ seen
    raw = product / (energy * energy.T).sqrt().clamp(min=torch.finfo(z.dtype).tiny)
    raw.fill_diagonal_(1.0)
    values, vectors = torch.linalg.eigh(raw.double())
    raised = vectors * values.clamp(min=0) @ vectors.T
    spread = torch.diagonal(raised).sqrt()
    raised = raised / spread[:, None] / spread
    identity = torch.eye(len(raised), dtype=raised.dtype)
    result: Tensor = ((1 - SHRINKAGE) * raised + SHRINKAGE * identity).to(z.dtype)
    result.fill_diagonal_(1.0)
    return result


def flow_rate(step: int, n_steps: int) -> float:
    """Learning rate of one step: a half cosine from `RATE` to 2 % of it."""
    share = min(step / max(n_steps, 1), 1.0)
    return RATE * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))


class FlowStage:
    """Coupling layers and base, by maximum likelihood of the normal scores; a `Stage`."""

    def __init__(
        self,
        flow: FlowCopula,
        train: Scores,
        held: Scores,
        n_epochs: int,
        name: str = FLOW,
    ) -> None:
        """Start at the flow's present parameters.

        Args:
            flow: Flow on the device to train on, its Gaussian copula already fitted; the scales of
                its base are set apart before the first step.
            train: Training windows, on the CPU.
            held: Later windows, on the CPU.
            n_epochs: Passes.
            name: Name of the stage.
        """
        self.flow, self.n_epochs, self.name = flow, n_epochs, name
        self.train = train
        self.device = flow.cholesky.device
        self.held = held.to(self.device)
        self.start = self.best = self._held_out()
        self.best_state = copy.deepcopy(flow.state_dict())
        self.optimiser = torch.optim.Adam(flow.parameters(), lr=RATE)
        self.n_steps = 0

    @property
    def gain(self) -> float:
        """Validation log-likelihood gained over the Gaussian copula, nats per window."""
        return self.best - self.start

    @torch.no_grad()
    def _held_out(self) -> float:
        return float(self._log_prob(self.held).mean()) if len(self.held) else -math.inf

    def _log_prob(self, scores: Scores) -> Tensor:
        return self.flow.log_prob(scores.z, scores.encoding, scores.present)

    def run_epoch(self, generator: torch.Generator) -> tuple[float, float]:
        """See `forecaster.training.stages.Stage`."""
        total, count = 0.0, 0
        if self.n_steps == 0:
            self.flow.spread_scales()
        n_per_epoch = math.ceil(len(self.train) / BATCH)
        for index in batches(len(self.train), BATCH, generator):
            set_rate(self.optimiser, flow_rate(self.n_steps, self.n_epochs * n_per_epoch))
            loss = -self._log_prob(self.train.rows(index).to(self.device)).mean()
            if not torch.isfinite(loss):
                epoch = self.n_steps // n_per_epoch + 1
                raise TrainingDiverged(f"flow loss is {loss.item()} in epoch {epoch}")
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.flow.parameters(), GRADIENT_NORM)
            self.optimiser.step()
            self.n_steps += 1
            total, count = total + float(loss.detach()), count + 1
        return total / count, -self._held_out()

    def judge(self, validation_loss: float) -> bool:
        """See `forecaster.training.stages.Stage`."""
        if -validation_loss > self.best:
            self.best, self.best_state = -validation_loss, copy.deepcopy(self.flow.state_dict())
        return False

    def finish(self) -> None:
        """See `forecaster.training.stages.Stage`."""
        self.flow.load_state_dict(self.best_state)

    def numbers(self) -> dict[str, float]:
        """See `forecaster.training.stages.Stage`."""
        return {"start": self.start, "best": self.best, "n_steps": self.n_steps}

    def tensors(self) -> dict[str, Tensor]:
        """See `forecaster.training.stages.Stage`."""
        return {
            **named("best", self.best_state),
            **named("optimiser", optimiser_tensors(self.optimiser)),
        }

    def load(self, numbers: Mapping[str, float], parts: Mapping[str, dict[str, Tensor]]) -> None:
        """See `forecaster.training.stages.Stage`."""
        self.start, self.best = numbers["start"], numbers["best"]
        self.n_steps = int(numbers["n_steps"])
        self.best_state = {k: v.to(self.device) for k, v in parts["best"].items()}
        load_optimiser(self.optimiser, parts["optimiser"])


def fit_flow(
    flow: FlowCopula, train: Scores, held: Scores, n_epochs: int, generator: torch.Generator
) -> FlowGain:
    """Fit a flow; it keeps the epoch that is best on `held`, the Gaussian copula included.

    Args:
        flow: Flow, changed in place.
        train: Training windows.
        held: Later windows.
        n_epochs: Passes over the training windows.
        generator: Order of the windows.

    Raises:
        TrainingDiverged: If the loss stops being finite.
    """
    flow.set_correlation(correlation_of(train.z, train.present))
    stage = FlowStage(flow, train, held, n_epochs if flow.n_layers else 0)
    for _ in range(stage.n_epochs):
        stage.judge(stage.run_epoch(generator)[1])
    stage.finish()
    return FlowGain(stage.start, stage.best)
