"""Training: marginals on a quadrature of the CRPS, then the flow copula on their PIT scores."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from forecaster.backtest import MODEL, score_table
from forecaster.baselines import POOLS, Baseline
from forecaster.checkpoint import digest
from forecaster.config import ForecasterConfig
from forecaster.dataset import Examples, is_trainable, make_examples, shuffled, split_origins
from forecaster.errors import HistoryTooShort, TrainingDiverged
from forecaster.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel, normal_scores
from forecaster.quantiles import pit_and_log_density
from forecaster.training import Average, PinballLoss, rate_factor
from forecaster.types import Predictor, Series

GRADIENT_NORM = 1.0
DIVERGED_RATIO = 20.0
FLOW_BATCH = 512
FLOW_RATE = 2e-3
SHRINKAGE = 0.02


@dataclass(frozen=True, slots=True)
class FitProgress:
    """One line of progress: `stage` is `marginals` or `flow`; losses are per observed step."""

    stage: str
    epoch: int
    n_epochs: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit found, in units of each series' own mean absolute deviation.

    Both figures are on the validation part, which also chose the stopping epoch and the picks: a
    fair verdict needs a later back-test (`forecaster.backtest`).

    Args:
        crps: Validation CRPS of the demand, mean over workloads.
        crps_best_simple: The same for the simple forecaster picked per workload.
        crps_by_workload: Workload to `(model, best simple)`.
        picks: Workload to the simple forecaster picked.
        epochs: Marginal epochs run.
        n_parameters: Trained parameters.
        n_windows: Training windows.
        flow_gain: Validation log-likelihood gained by the flow over the Gaussian copula, nats per
            window.
        skipped: Workloads left out, with the reason.
        history: Progress lines.
    """

    crps: float
    crps_best_simple: float
    crps_by_workload: dict[str, tuple[float, float]]
    picks: dict[str, str]
    epochs: int
    n_parameters: int
    n_windows: int
    flow_gain: float
    skipped: dict[str, str]
    history: tuple[FitProgress, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FitResult:
    """A trained model and its report."""

    model: TrainedModel
    report: FitReport


OnProgress = Callable[[FitProgress], object]
"""Called after each epoch; returning False ends that stage (a time budget, a user's stop)."""


def fit(
    series: Sequence[Series],
    config: ForecasterConfig,
    seed: int,
    *,
    on_progress: OnProgress | None = None,
) -> FitResult:
    """Train one model for all series.

    Args:
        series: Histories on one step length; those too short or unobserved are skipped.
        config: Configuration.
        seed: Fixes first parameters and the order of examples: same seed, same bytes.
        on_progress: Called after each epoch; see `OnProgress`.

    Raises:
        HistoryTooShort: If no series can be trained on.
        TrainingDiverged: If the loss stops being finite or explodes.
    """
    usable = [s for s in series if is_trainable(s, config)]
    skipped = {s.workload: "history too short or unobserved" for s in series if s not in usable}
    if not usable:
        longest = max((s.n_steps for s in series), default=0)
        raise HistoryTooShort(
            f"none of {len(series)} series can be trained on (longest {longest} steps); with "
            f"context={config.window.context} and horizon={config.window.horizon} at least a few "
            "hundred observed steps are right"
        )
    trainer = _Trainer(usable, config, seed, on_progress)
    epochs = trainer.fit_marginals()
    flow_gain = trainer.fit_flow()
    return trainer.result(epochs, flow_gain, skipped)


class _Trainer:
    """State of one training run."""

    def __init__(
        self,
        series: Sequence[Series],
        config: ForecasterConfig,
        seed: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.series, self.config, self.on_progress = series, config, on_progress
        # Two streams, so that a change of the network's size leaves the examples as they are.
        self.generator = torch.Generator().manual_seed(2 * seed)
        parameters = torch.Generator().manual_seed(2 * seed + 1)
        names = sorted({name for s in series for name in s.indicators})
        self.vocabulary = Vocabulary(tuple(s.workload for s in series), tuple(names))
        self.net = ForecastNet(config, self.vocabulary, parameters)
        train, held = split_origins(series, config)
        setting = config.train
        train = train.take(shuffled(train.which.size, setting.max_windows, self.generator))
        held = held.take(shuffled(held.which.size, setting.max_validation_windows, self.generator))
        self.held, self.seed = held, seed
        self.train = make_examples(series, train, config, self.vocabulary, self.generator)
        self.validation = make_examples(series, held, config, self.vocabulary)
        self.loss = PinballLoss(np.array(config.window.quantile_levels), setting.tail_weight)
        self.history: list[FitProgress] = []

    def fit_marginals(self) -> int:
        """Train encoder and head with early stopping; returns the epochs run."""
        setting = self.config.train
        parameters = [*self.net.encoder.parameters(), *self.net.head.parameters()]
        optimiser = torch.optim.AdamW(
            parameters, lr=setting.learning_rate, weight_decay=setting.weight_decay
        )
        n_steps = setting.epochs * math.ceil(len(self.train) / setting.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: rate_factor(i, n_steps))
        average = Average(self.net, setting.average_decay)
        best_loss, best_state, since_best, epoch = math.inf, average.state(), 0, 0
        for epoch in range(1, setting.epochs + 1):
            total, count = 0.0, 0
            for index in self._batches(len(self.train), setting.batch):
                total += self._step(self.train.rows(index), optimiser, parameters)
                schedule.step()
                average.update(self.net)
                count += 1
            with average.applied(self.net):
                validation = self._evaluate()
            may_go_on = self._report("marginals", epoch, setting.epochs, total / count, validation)
            if not math.isfinite(validation) or validation > DIVERGED_RATIO * best_loss:
                raise TrainingDiverged(f"validation loss {validation} at epoch {epoch}")
            if validation < best_loss:
                best_loss, best_state, since_best = validation, average.state(), 0
            else:
                since_best += 1
            if since_best >= setting.patience or not may_go_on:
                break
        self.net.load_state_dict(best_state)
        return epoch

    def _step(
        self,
        batch: Examples,
        optimiser: torch.optim.Optimizer,
        parameters: list[torch.nn.Parameter],
    ) -> float:
        hidden = torch.rand(len(batch), generator=self.generator)
        known = hidden >= self.config.train.workload_dropout
        batch.inputs.workload.mul_(known)
        quantiles, _ = self.net(batch.inputs)
        loss = self.loss(quantiles, batch)
        if not torch.isfinite(loss):
            raise TrainingDiverged(f"training loss is {loss.item()}")
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimiser.step()
        return float(loss.detach())

    def _batches(self, n_rows: int, size: int) -> Iterator[Tensor]:
        order = torch.randperm(n_rows, generator=self.generator)
        for start in range(0, n_rows, size):
            yield order[start : start + size]

    @torch.no_grad()
    def _evaluate(self) -> float:
        total, weight = 0.0, 0
        for start in range(0, len(self.validation), 1024):
            batch = self.validation.rows(slice(start, start + 1024))
            total += float(self.loss(self.net(batch.inputs)[0], batch)) * len(batch)
            weight += len(batch)
        return total / weight

    def fit_flow(self) -> float:
        """Fit the Gaussian copula, then the coupling layers; returns the gain in nats."""
        scores, encodings = self._scores(self.train)
        if scores.shape[0] < 2 * self.config.window.horizon or self.config.window.horizon == 1:
            return 0.0
        flow = self.net.flow
        correlation = torch.corrcoef(scores.T).nan_to_num(0.0)
        correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * torch.eye(len(correlation))
        correlation.fill_diagonal_(1.0)
        flow.set_correlation(correlation)
        held_scores, held_encodings = self._scores(self.validation)
        if self.config.model.flow_layers == 0 or held_scores.shape[0] == 0:
            return 0.0

        def held_out() -> float:
            with torch.no_grad():
                return float(flow.log_prob(held_scores, held_encodings).mean())

        start = best = held_out()
        best_state = copy.deepcopy(flow.state_dict())
        optimiser = torch.optim.Adam(flow.parameters(), lr=FLOW_RATE)
        n_epochs = self.config.train.flow_epochs
        for epoch in range(1, n_epochs + 1):
            total, count = 0.0, 0
            for index in self._batches(len(scores), FLOW_BATCH):
                loss = -flow.log_prob(scores[index], encodings[index]).mean()
                if not torch.isfinite(loss):
                    raise TrainingDiverged(f"flow loss is {loss.item()} at epoch {epoch}")
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(flow.parameters(), GRADIENT_NORM)
                optimiser.step()
                total, count = total + float(loss.detach()), count + 1
            now = held_out()
            may_go_on = self._report("flow", epoch, n_epochs, total / count, -now)
            if now > best:
                best, best_state = now, copy.deepcopy(flow.state_dict())
            if not may_go_on:
                break
        flow.load_state_dict(best_state)
        return best - start

    @torch.no_grad()
    def _scores(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Normal scores `(N, H)` and encodings `(N, E)` of targets observed over all of H."""
        levels = np.array(self.config.window.quantile_levels)
        scores, encodings = [], []
        for start in range(0, len(examples), 1024):
            batch = examples.rows(slice(start, start + 1024))
            quantiles, encoding = self.net(batch.inputs)
            whole = (batch.weight > 0).all(dim=2)
            q = quantiles[whole].transpose(1, 2).numpy()
            u, _ = pit_and_log_density(q, levels, batch.actual[whole].numpy())
            scores.append(normal_scores(u))
            encodings.append(encoding[whole])
        return torch.cat(scores), torch.cat(encodings)

    def result(self, epochs: int, flow_gain: float, skipped: dict[str, str]) -> FitResult:
        """Freeze the network and compare it with the simple forecasters on validation."""
        self.net.eval()
        self.net.requires_grad_(requires_grad=False)
        model = TrainedModel(self.net, self.config, self.vocabulary)
        model = TrainedModel(self.net, self.config, self.vocabulary, digest(model))
        window = self.config.window
        predictors: dict[str, Predictor] = {name: Baseline(name, window) for name in POOLS}
        predictors[MODEL] = model
        rng = np.random.Generator(np.random.PCG64(self.seed))
        table = score_table(self.series, self.held, predictors, self.config, rng)
        picks = {w: min(POOLS, key=lambda name: row[name].crps) for w, row in table.items()}
        both = {w: (row[MODEL].crps, row[picks[w]].crps) for w, row in table.items()}
        report = FitReport(
            crps=float(np.mean([row[0] for row in both.values()])),
            crps_best_simple=float(np.mean([row[1] for row in both.values()])),
            crps_by_workload=both,
            picks=picks,
            epochs=epochs,
            n_parameters=sum(p.numel() for p in self.net.parameters()),
            n_windows=len(self.train),
            flow_gain=flow_gain,
            skipped=skipped,
            history=tuple(self.history),
        )
        return FitResult(model, report)

    def _report(self, stage: str, epoch: int, n_epochs: int, train: float, held: float) -> bool:
        """Note a line of progress; false when the caller wants this stage to end."""
        line = FitProgress(stage, epoch, n_epochs, train, held)
        self.history.append(line)
        return self.on_progress is None or self.on_progress(line) is not False
