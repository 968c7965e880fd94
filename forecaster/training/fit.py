"""Training: marginals on a quadrature of the CRPS, then the flow copulas on their PIT scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from forecaster.choice.baselines import POOLS
from forecaster.choice.comparison import MODEL, contenders, score_table
from forecaster.config import ForecasterConfig
from forecaster.dataset import Examples, is_trainable, make_examples, shuffled, split_origins
from forecaster.errors import CheckpointError, HistoryTooShort
from forecaster.network.joint import JointCopula
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.targets import joint_names
from forecaster.training.checkpoint import TREES, digest
from forecaster.training.flow_fit import FlowStage, correlation_of
from forecaster.training.joint_fit import (
    JOINT_FLOW,
    JointFlowReport,
    load_scores,
    mean_log_prob,
    start_joint,
)
from forecaster.training.loop import FitProgress, named
from forecaster.training.resume import TrainingState, fit_identity, state_from_bytes, state_to_bytes
from forecaster.training.stages import MARGINALS, MarginalStage, Stage, scores_of
from forecaster.training.tree_fit import TreeReport, with_trees
from forecaster.trees.trees import TreeProgress
from forecaster.types import Series

__all__ = ["FitProgress", "FitReport", "FitResult", "OnCheckpoint", "OnProgress", "fit"]


@dataclass(frozen=True, slots=True)
class FitReport:
    """Result of a fit, in units of each series' own mean absolute deviation.

    All but `joint` is of the demand alone. Both CRPS are on the validation part, which also chose
    the stopping epoch and the picks: a fair verdict needs later steps
    (`forecaster.choice.comparison`).

    Args:
        crps: Validation CRPS of the demand, mean over workloads.
        crps_best_simple: The same for the simple forecaster picked per workload.
        crps_by_workload: Workload to `(model, best simple)`.
        picks: Workload to the simple forecaster picked.
        epochs: Marginal epochs run.
        n_parameters: Trained numbers: parameters of the network, leaves and splits of the trees.
        n_windows: Training windows.
        trees: What the trees brought; None: there are none, by configuration or for lack of time.
        flow_gain: Validation log-likelihood gained by the flow over the Gaussian copula, nats per
            window.
        joint: What the flow over the demand and further loads brought; None: there is none.
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
    trees: TreeReport | None
    flow_gain: float
    joint: JointFlowReport | None
    skipped: dict[str, str]
    history: tuple[FitProgress, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FitResult:
    """A trained model and its report."""

    model: TrainedModel
    report: FitReport


OnProgress = Callable[[FitProgress], object]
"""Called after each epoch; returning False ends that stage (a time budget, a user's stop)."""


OnCheckpoint = Callable[[bytes], None]
"""Called after each epoch with the state of the training, which `resume` takes back."""


def fit(  # noqa: PLR0913 - what fixes the result, then how to run
    series: Sequence[Series],
    config: ForecasterConfig,
    seed: int,
    *,
    on_progress: OnProgress | None = None,
    resume: bytes | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    device: str = "cpu",
) -> FitResult:
    """Train one model for all series.

    Args:
        series: Histories on one step length; those too short or unobserved are skipped.
        config: Configuration.
        seed: Fixes first parameters and the order of examples: same seed, same bytes.
        on_progress: Called after each epoch; see `OnProgress`.
        resume: State of this same fit after some epoch: it goes on from there, and ends with the
            bytes that it would have had without the interruption.
        on_checkpoint: Called after each epoch; see `OnCheckpoint`.
        device: Where torch computes, e.g. `cuda`; all that is returned is on the CPU.

    Raises:
        HistoryTooShort: If no series can be trained on.
        TrainingDiverged: If the loss stops being finite or explodes.
        CheckpointError: If `resume` is damaged, or of another configuration, seed or history.
        CheckpointVersionError: If `resume` was written by another format version.
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
    identity = fit_identity(usable, config, seed)
    state = None if resume is None else state_from_bytes(resume, identity)
    trainer = _Trainer(usable, config, seed, device)
    trainer.on_progress = on_progress
    if on_checkpoint is not None:
        trainer.on_state = lambda now: on_checkpoint(state_to_bytes(now, identity))
    if state is not None:
        trainer.load(state)
    trainer.fit_marginals()
    trainer.fit_flow()
    trainer.fit_joint()
    return trainer.result(skipped)


class _Trainer:
    """State of one training run."""

    def __init__(
        self, series: Sequence[Series], config: ForecasterConfig, seed: int, device: str
    ) -> None:
        self.series, self.config, self.seed = series, config, seed
        # Two streams, so that a change of the network's size leaves the examples as they are.
        self.generator = torch.Generator().manual_seed(2 * seed)
        parameters = torch.Generator().manual_seed(2 * seed + 1)
        names = sorted({name for s in series for name in s.indicators})
        self.vocabulary = Vocabulary(tuple(s.workload for s in series), tuple(names))
        self.net = ForecastNet(config, self.vocabulary, parameters).to(device)
        self.origins = split_origins(series, config)
        held, setting = self.origins[1], config.train
        self.held = held.take(
            shuffled(held.which.size, setting.max_validation_windows, self.generator)
        )
        self.train = self._draw(self.generator)
        self.validation = make_examples(series, self.held, config, self.vocabulary)
        self.levels = np.array(config.window.quantile_levels)
        self.history: list[FitProgress] = []
        self.flow_gain = 0.0
        self.joint: tuple[JointCopula, JointFlowReport] | None = None
        self.resumed: TrainingState | None = None
        self.on_progress: OnProgress | None = None
        self.on_state: Callable[[TrainingState], None] | None = None

    def _draw(self, generator: torch.Generator) -> Examples:
        """Training examples: other windows, disturbed otherwise, each time it is called."""
        train = self.origins[0]
        kept = train.take(shuffled(train.which.size, self.config.train.max_windows, generator))
        return make_examples(self.series, kept, self.config, self.vocabulary, generator)

    def load(self, state: TrainingState) -> None:
        """Go on from a state of this same fit."""
        try:
            self.net.load_state_dict(state.part("net"))
            self.generator.set_state(state.tensors["generator"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"damaged state of a training: {error}") from error
        self.history = list(state.history)
        self.resumed = state

    def fit_marginals(self) -> None:
        """Train encoder and head with early stopping."""
        if self.resumed is not None and self.resumed.stage != MARGINALS:
            return
        examples = (self.train, self.validation)
        stage = MarginalStage(self.net, *examples, self.levels, self.config.train, self._draw)
        self._run(stage)

    def fit_flow(self) -> None:
        """Fit the Gaussian copula, then the coupling layers, of the demand."""
        if self.resumed is not None and self.resumed.stage == JOINT_FLOW:
            self.flow_gain = self.resumed.numbers["flow_gain"]
            return
        horizon = self.config.window.horizon
        n_targets = None if self.config.train.targets == "all" else 1
        train = scores_of(self.net, self.train, self.levels, n_targets)
        if len(train) < 2 * horizon or horizon == 1:
            return
        self.net.flow.set_correlation(correlation_of(train.z))
        held = scores_of(self.net, self.validation, self.levels, n_targets)
        if self.config.model.flow_layers == 0 or len(held) == 0:
            return
        stage = FlowStage(self.net.flow, train, held, self.config.train.flow_epochs)
        self._run(stage)
        self.flow_gain = stage.gain

    def fit_joint(self) -> None:
        """Fit the flow over the demand and further loads, where there are any and enough of it."""
        further = joint_names(self.series)
        if not further or self.config.train.targets == "all":
            return
        n_loads, device = 1 + len(further), self.net.flow.cholesky.device
        parts = (self.train, self.validation)
        train, held = (load_scores(self.net, part, self.levels, n_loads) for part in parts)
        if train is None or held is None:
            return
        if len(train) < 2 * n_loads * self.config.window.horizon:
            return
        flow, apart = start_joint(train, self.config, n_loads, self.seed)
        independent = mean_log_prob(apart, held)
        if self.resumed is not None and self.resumed.stage == JOINT_FLOW:
            flow.load_state_dict(self.resumed.part("joint"))
        n_epochs = self.config.train.flow_epochs if flow.n_layers else 0
        stage = FlowStage(flow.to(device), train, held, n_epochs, JOINT_FLOW)
        self._run(stage)
        flow.cpu().eval().requires_grad_(requires_grad=False)
        report = JointFlowReport(further, len(train), stage.gain, stage.best - independent)
        self.joint = JointCopula(flow, further), report

    def _run(self, stage: Stage) -> None:
        """Train a stage to its end, from where the state to go on from left it."""
        epoch, is_over = 0, stage.n_epochs == 0
        state = self.resumed
        if state is not None and state.stage == stage.name:
            parts = {name: state.part(name) for name in ("average", "best", "optimiser")}
            stage.load(state.numbers, parts)
            epoch, is_over = state.epoch, state.is_stage_over
        while not is_over:
            epoch += 1
            train_loss, validation_loss = stage.run_epoch(self.generator)
            line = FitProgress(stage.name, epoch, stage.n_epochs, train_loss, validation_loss)
            self.history.append(line)
            may_go_on = self.on_progress is None or self.on_progress(line) is not False
            is_settled = stage.judge(validation_loss)
            is_over = is_settled or not may_go_on or epoch == stage.n_epochs
            self._checkpoint(stage, epoch, is_over)
        stage.finish()

    def _checkpoint(self, stage: Stage, epoch: int, is_over: bool) -> None:
        if self.on_state is None:
            return
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= stage.tensors()
        tensors["generator"] = self.generator.get_state()
        numbers = stage.numbers()
        if isinstance(stage, FlowStage) and stage.name == JOINT_FLOW:
            tensors |= named("joint", stage.flow.state_dict())
            numbers["flow_gain"] = self.flow_gain
        history = tuple(self.history)
        self.on_state(TrainingState(stage.name, epoch, is_over, history, numbers, tensors))

    def result(self, skipped: dict[str, str]) -> FitResult:
        """Freeze the network and compare it with the simple forecasters on validation."""
        n_windows = len(self.train)
        del self.train, self.validation  # the largest arrays of a fit; no longer needed
        self.net.cpu().eval()
        self.net.requires_grad_(requires_grad=False)
        model, trees = self._with_trees(TrainedModel(self.net, self.config, self.vocabulary))
        copula, joint = (None, None) if self.joint is None else self.joint
        model = replace(model, joint=copula)
        model = replace(model, version=digest(model))
        predictors = contenders(model, self.config.window)
        rng = np.random.Generator(np.random.PCG64(self.seed))
        table = score_table(self.series, self.held, predictors, self.config, rng)
        picks = {w: min(POOLS, key=lambda name: row[name].crps) for w, row in table.items()}
        both = {w: (row[MODEL].crps, row[picks[w]].crps) for w, row in table.items()}
        report = FitReport(
            crps=float(np.mean([row[0] for row in both.values()])),
            crps_best_simple=float(np.mean([row[1] for row in both.values()])),
            crps_by_workload=both,
            picks=picks,
            epochs=sum(line.stage == MARGINALS for line in self.history),
            n_parameters=model.n_parameters,
            n_windows=n_windows,
            trees=trees,
            flow_gain=self.flow_gain,
            joint=joint,
            skipped=skipped,
            history=tuple(self.history),
        )
        return FitResult(model, report)

    def _with_trees(self, model: TrainedModel) -> tuple[TrainedModel, TreeReport | None]:
        """Train the trees; a fit that is interrupted here trains them again, from their start."""
        if not self.config.trees.is_used:
            return model, None

        def tell(done: TreeProgress) -> bool:
            losses = (done.train_loss, done.validation_loss)
            line = FitProgress(TREES, done.n_levels, done.n_all, *losses)
            self.history.append(line)
            return self.on_progress is None or self.on_progress(line) is not False

        return with_trees(model, self.series, *self.origins, self.seed, tell)
