"""Stages of training, and the first: marginals on the CRPS. The second is in `flow_fit`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from forecaster.augment import disturb
from forecaster.config import TrainConfig
from forecaster.dataset import Examples
from forecaster.errors import TrainingDiverged
from forecaster.network.flow import Scores
from forecaster.network.layers import Dropout
from forecaster.network.model import ForecastNet
from forecaster.predict import normal_scores
from forecaster.quantiles import pit_and_log_density
from forecaster.training.likelihood import LikelihoodLoss
from forecaster.training.loop import (
    Average,
    PinballLoss,
    batches,
    examples_on,
    load_optimiser,
    named,
    optimiser_tensors,
    rate_factor,
    set_rate,
)
from forecaster.types import F64

GRADIENT_NORM = 1.0
DIVERGED_RATIO = 20.0
EVALUATION_BATCH = 1024
COOLING_EPOCHS = 5
LAST_RATE = 0.02
MARGINALS = "marginals"
Loss = Callable[[Tensor, Examples], Tensor]
"""Normalised quantiles `(B, G, H, Q)` and the examples they are for, to a mean loss."""


class Stage(Protocol):
    """A part of the network being trained, epoch by epoch.

    `numbers` and `tensors` say where it stands, apart from the network's own parameters; `load`
    takes both back, after which it goes on as if it had never been away.
    """

    name: str
    n_epochs: int

    def run_epoch(self, generator: torch.Generator) -> tuple[float, float]:
        """One pass over the training examples; returns training and validation loss."""
        ...

    def judge(self, validation_loss: float) -> bool:
        """Note whether this was the best epoch so far; true when more would not help."""
        ...

    def finish(self) -> None:
        """Leave the network with the best parameters."""
        ...

    def numbers(self) -> dict[str, float]:
        """Counters and best scores."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Best parameters, moments and averages, by dotted name."""
        ...

    def load(self, numbers: Mapping[str, float], parts: Mapping[str, dict[str, Tensor]]) -> None:
        """Take back what `numbers` and `tensors` gave, the latter split by its first name."""
        ...


def chunks(examples: Examples) -> Iterator[Examples]:
    """All examples in order, some at a time."""
    for start in range(0, len(examples), EVALUATION_BATCH):
        yield examples.rows(slice(start, start + EVALUATION_BATCH))


class MarginalStage:
    """Encoder and head, with early stopping on averaged parameters."""

    name = MARGINALS

    def __init__(
        self,
        net: ForecastNet,
        train: Examples,
        validation: Examples,
        levels: F64,
        setting: TrainConfig,
        redraw: Callable[[torch.Generator], Examples] | None = None,
    ) -> None:
        """Start at the network's present parameters.

        Args:
            net: Network on the device to train on.
            train: Training examples, on the CPU.
            validation: Validation examples, on the CPU.
            levels: `(Q,)` quantile levels of the head.
            setting: How to train.
            redraw: Makes the training examples of every epoch but the first; None: they stay.
        """
        self.net, self.train, self.validation, self.setting = net, train, validation, setting
        self.redraw, self.is_first = redraw, True
        self.n_epochs = setting.epochs
        self.parameters = [*net.encoder.parameters(), *net.head.parameters()]
        self.device = self.parameters[0].device
        self.loss: Loss = PinballLoss(levels, setting.tail_weight, self.device)
        if setting.loss == "nll":
            self.loss = LikelihoodLoss(levels)
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=setting.learning_rate, weight_decay=setting.weight_decay
        )
        self.average = Average(net, setting.average_decay)
        self.best_loss, self.best_state = math.inf, self.average.state()
        self.since_best, self.n_steps = 0, 0

    def run_epoch(self, generator: torch.Generator) -> tuple[float, float]:
        """See `Stage`."""
        if self.redraw is not None and not self.is_first:
            self.train = self.redraw(generator)
        self.is_first = False
        total, count = 0.0, 0
        for index in batches(len(self.train), self.setting.batch, generator):
            total += self._step(self.train.rows(index), generator)
            self.average.update(self.net)
            count += 1
        with self.average.applied(self.net):
            return total / count, self._evaluate()

    def _step(self, batch: Examples, generator: torch.Generator) -> float:
        # Drawn and applied on the CPU, so that the examples are the same on every device.
        disturb(batch.inputs, self.setting, generator)
        batch = examples_on(batch, self.device)
        dropout = Dropout(self.setting.dropout, generator)
        loss = self.loss(self.net(batch.inputs, dropout)[0], batch)
        if not torch.isfinite(loss):
            raise TrainingDiverged(f"training loss is {loss.item()}")
        set_rate(self.optimiser, self.setting.learning_rate * self._rate())
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, GRADIENT_NORM)
        self.optimiser.step()
        self.n_steps += 1
        return float(loss.detach())

    def _rate(self) -> float:
        """Learning rate of the next step, over its peak.

        Where fewer passes are made than the setting names, it falls to the end over the last few.
        """
        n_per_epoch = math.ceil(len(self.train) / self.setting.batch)
        factor = rate_factor(self.n_steps, self.setting.epochs * n_per_epoch)
        if self.n_epochs >= self.setting.epochs:
            return factor
        n_left = self.n_epochs * n_per_epoch - self.n_steps
        return factor * min(1.0, max(n_left / (COOLING_EPOCHS * n_per_epoch), LAST_RATE))

    @torch.no_grad()
    def _evaluate(self) -> float:
        total, weight = 0.0, 0
        for chunk in chunks(self.validation):
            batch = examples_on(chunk, self.device)
            total += float(self.loss(self.net(batch.inputs)[0], batch)) * len(batch)
            weight += len(batch)
        return total / weight

    def judge(self, validation_loss: float) -> bool:
        """See `Stage`.

        Raises:
            TrainingDiverged: If the loss is not finite or far above the best.
        """
        # A log density may be negative: only a CRPS can be compared with a multiple of the best.
        is_far = self.setting.loss == "crps" and validation_loss > DIVERGED_RATIO * self.best_loss
        if not math.isfinite(validation_loss) or is_far:
            raise TrainingDiverged(
                f"validation loss {validation_loss}, the best was {self.best_loss}"
            )
        if validation_loss < self.best_loss:
            self.best_loss, self.best_state = validation_loss, self.average.state()
            self.since_best = 0
        else:
            self.since_best += 1
        return self.since_best >= self.setting.patience

    def finish(self) -> None:
        """See `Stage`."""
        self.net.load_state_dict(self.best_state)

    def numbers(self) -> dict[str, float]:
        """See `Stage`."""
        return {
            "best_loss": self.best_loss,
            "since_best": self.since_best,
            "n_steps": self.n_steps,
            "n_updates": self.average.n_updates,
        }

    def tensors(self) -> dict[str, Tensor]:
        """See `Stage`."""
        return {
            **named("average", self.average.state()),
            **named("best", self.best_state),
            **named("optimiser", optimiser_tensors(self.optimiser)),
        }

    def load(self, numbers: Mapping[str, float], parts: Mapping[str, dict[str, Tensor]]) -> None:
        """See `Stage`."""
        self.best_loss, self.since_best = numbers["best_loss"], int(numbers["since_best"])
        self.n_steps, self.is_first = int(numbers["n_steps"]), False
        self.average.load(parts["average"], int(numbers["n_updates"]))
        self.best_state = {k: v.to(self.device) for k, v in parts["best"].items()}
        load_optimiser(self.optimiser, parts["optimiser"])


@torch.no_grad()
def scores_of(
    net: ForecastNet, examples: Examples, levels: F64, n_targets: int | None = None
) -> Scores:
    """Normal scores and encodings of targets observed over all of H, on the CPU.

    Args:
        net: Network, on any device.
        examples: Examples, on the CPU.
        levels: `(Q,)` quantile levels of the head.
        n_targets: How many of the targets are read, the first; all when not given.
    """
    device = next(net.parameters()).device
    scores, encodings = [], []
    for chunk in chunks(examples):
        quantiles, encoding = net(examples_on(chunk, device).inputs)
        whole = (chunk.weight > 0).all(dim=2)
        if n_targets is not None:
            whole[:, n_targets:] = False
        q = quantiles.cpu()[whole].transpose(1, 2).numpy()
        u, _ = pit_and_log_density(q, levels, chunk.actual[whole].numpy())
        scores.append(normal_scores(u))
        encodings.append(encoding.cpu()[whole])
    return Scores(torch.cat(scores), torch.cat(encodings))
