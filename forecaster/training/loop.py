"""Parts of the training loop: progress, loss, learning-rate schedule, averaging, devices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from forecaster.dataset import Examples
from forecaster.network.model import NetInputs
from forecaster.quantiles import crps_weights
from forecaster.types import F64

WARM_UP_STEPS = 40
TAIL_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class FitProgress:
    """One line of progress of a stage: losses are per observed step.

    `stage` is marginals, flow, joint flow (of further loads, where there are any) or trees.
    """

    stage: str
    epoch: int
    n_epochs: int
    train_loss: float
    validation_loss: float


class PinballLoss:
    """Quadrature of the CRPS in series units, plus extra weight on the upper tail."""

    def __init__(self, levels: F64, tail_weight: float, device: torch.device) -> None:
        """Prepare levels and weights.

        Args:
            levels: `(Q,)`.
            tail_weight: Added to the weight of each level >= 0.95.
            device: Where the quantiles will be.
        """
        weights = crps_weights(levels) + tail_weight * (levels >= TAIL_LEVEL)
        self.levels = torch.from_numpy(levels).to(device, torch.float32)
        self.weights = torch.from_numpy(2 * weights).to(device, torch.float32)

    def __call__(self, quantiles: Tensor, batch: Examples) -> Tensor:
        """Mean loss over observed targets; `quantiles` is `(B, G, H, Q)` normalised."""
        error = batch.actual[..., None] - quantiles
        loss = torch.maximum(self.levels * error, (self.levels - 1) * error) @ self.weights
        return (loss * batch.weight).sum() / (batch.weight > 0).sum().clamp(min=1)


class Average:
    """Exponential moving average of a network's parameters."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Start at the network's present parameters."""
        self.decay, self.n_updates = decay, 0
        self._state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move towards the network; early on the average follows faster."""
        self.n_updates += 1
        decay = min(self.decay, self.n_updates / (self.n_updates + 9))
        for name, value in net.state_dict().items():
            mine = self._state[name]
            if value.is_floating_point():
                mine.lerp_(value, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """A copy of the averaged parameters."""
        return {k: v.clone() for k, v in self._state.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], n_updates: int) -> None:
        """Go on from averaged parameters that took `n_updates` updates."""
        self.n_updates = n_updates
        for name, value in self._state.items():
            value.copy_(state[name])

    @contextmanager
    def applied(self, net: nn.Module) -> Iterator[None]:
        """The network with averaged parameters, restored afterwards."""
        current = {k: v.detach().clone() for k, v in net.state_dict().items()}
        net.load_state_dict(self._state)
        yield
        net.load_state_dict(current)


def rate_factor(step: int, n_steps: int) -> float:
    """Linear warm-up, then a half cosine to 2 %."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    progress = min((step - WARM_UP_STEPS) / max(n_steps - WARM_UP_STEPS, 1), 1.0)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its moments and step counts, by parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {f"{i}.{name}": value for i, part in state.items() for name, value in part.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimiser_tensors`, for an optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        # A copy: the optimiser would go on to write into the tensors it is given.
        state.setdefault(int(number), {})[name] = value.clone()
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def inputs_on(inputs: NetInputs, device: torch.device) -> NetInputs:
    """Inputs of the network on `device`."""
    return NetInputs(*(getattr(inputs, f.name).to(device) for f in fields(inputs)))


def examples_on(batch: Examples, device: torch.device) -> Examples:
    """A batch of examples on `device`."""
    return Examples(
        inputs_on(batch.inputs, device), batch.actual.to(device), batch.weight.to(device)
    )


def batches(n_rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of all rows in a random order, `size` at a time."""
    order = torch.randperm(n_rows, generator=generator)
    for start in range(0, n_rows, size):
        yield order[start : start + size]


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names that begin with `prefix`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}
