"""One training run: marginals on a quadrature of the CRPS, then the flow copulas on PIT scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from forecaster.config import ForecasterConfig
from forecaster.dataset import Examples, Origins, make_examples, shuffled, split_origins
from forecaster.errors import CheckpointError
from forecaster.network.joint import JointCopula
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.targets import joint_names
from forecaster.training.beginning import begin_with
from forecaster.training.flow_fit import FlowStage, correlation_of
from forecaster.training.joint_fit import (
    JOINT_FLOW,
    JointFlowReport,
    load_scores,
    mean_log_prob,
    start_joint,
)
from forecaster.training.loop import FitProgress, named
from forecaster.training.resume import TrainingState
from forecaster.training.stages import MARGINALS, MarginalStage, Stage, scores_of
from forecaster.types import Series

OnProgress = Callable[[FitProgress], object]
"""Called after each epoch; returning False ends that stage (a time budget, a user's stop)."""
Choose = Callable[[Origins, int, torch.Generator], Origins]
"""Chooses at most so many of the origins, by the generator."""


def chosen_at_random(origins: Origins, n_most: int, generator: torch.Generator) -> Origins:
    """Any origins, each as likely as any other."""
    return origins.take(shuffled(origins.which.size, n_most, generator))


class Trainer:
    """State of one training run."""

    def __init__(  # noqa: PLR0913 - what fixes the result
        self,
        series: Sequence[Series],
        config: ForecasterConfig,
        seed: int,
        device: str,
        vocabulary: Vocabulary,
        choose: Choose = chosen_at_random,
        prior: TrainedModel | None = None,
    ) -> None:
        """Draw the first examples.

        Args:
            series: Histories that can all be trained on.
            config: Configuration.
            seed: Fixes first parameters and the order of examples.
            device: Where torch computes.
            vocabulary: Names that the network learns.
            choose: Which origins are learned from.
            prior: Whose parameters the network begins with; None: random ones.
        """
        self.series, self.config, self.seed = series, config, seed
        self.vocabulary, self.choose = vocabulary, choose
        # Two streams, so that a change of the network's size leaves the examples as they are.
        self.generator = torch.Generator().manual_seed(2 * seed)
        parameters = torch.Generator().manual_seed(2 * seed + 1)
        self.net = ForecastNet(config, self.vocabulary, parameters)
        if prior is not None:
            begin_with(self.net, prior)
        self.net.to(device)
        self.origins = split_origins(series, config)
        held, setting = self.origins[1], config.train
        self.held = choose(held, setting.max_validation_windows, self.generator)
        self.train = self._draw(self.generator)
        self.validation = self._examples(self.held)
        self.levels = np.array(config.window.quantile_levels)
        self.history: list[FitProgress] = []
        self.flow_gain = 0.0
        self.joint: tuple[JointCopula, JointFlowReport] | None = None
        self.n_epochs: int | None = None
        self.resumed: TrainingState | None = None
        self.on_progress: OnProgress | None = None
        self.on_state: Callable[[TrainingState], None] | None = None

    def _draw(self, generator: torch.Generator) -> Examples:
        """Training examples: other windows, disturbed otherwise, each time it is called."""
        kept = self.choose(self.origins[0], self.config.train.max_windows, generator)
        return self._examples(kept, generator)

    def _examples(self, origins: Origins, generator: torch.Generator | None = None) -> Examples:
        """Examples at some origins, disturbed by the generator where there is one."""
        return make_examples(self.series, origins, self.config, self.vocabulary, generator)

    def load(self, state: TrainingState) -> None:
        """Go on from a state of this same fit."""
        try:
            self.net.load_state_dict(state.part("net"))
            self.generator.set_state(state.tensors["generator"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"damaged state of a training: {error}") from error
        self.history = list(state.history)
        self.resumed = state

    def run(self) -> None:
        """All stages, one after the other."""
        self._fit_marginals()
        self._fit_flow()
        self._fit_joint()

    def _fit_marginals(self) -> None:
        """Train encoder and head with early stopping."""
        if self.resumed is not None and self.resumed.stage != MARGINALS:
            return
        examples = (self.train, self.validation)
        stage = MarginalStage(self.net, *examples, self.levels, self.config.train, self._draw)
        stage.n_epochs = self.n_epochs or stage.n_epochs
        self._run(stage)

    def _fit_flow(self) -> None:
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

    def _fit_joint(self) -> None:
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
            is_over = is_settled or not may_go_on or epoch >= stage.n_epochs
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

    def frozen(self) -> TrainedModel:
        """The network as it stands, on the CPU and not to be trained on, without trees."""
        del self.train, self.validation  # the largest arrays of a fit; no longer needed
        self.net.cpu().eval()
        self.net.requires_grad_(requires_grad=False)
        return TrainedModel(self.net, self.config, self.vocabulary)
