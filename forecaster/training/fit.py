"""Training: marginals on a quadrature of the CRPS, then the flow copulas on their PIT scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from forecaster.choice.baselines import POOLS
from forecaster.choice.comparison import MODEL, contenders, score_table
from forecaster.config import ForecasterConfig
from forecaster.dataset import is_trainable
from forecaster.errors import HistoryTooShort
from forecaster.network.model import Vocabulary
from forecaster.predict import TrainedModel
from forecaster.training.beginning import from_prior, suits
from forecaster.training.checkpoint import TREES, digest
from forecaster.training.flow_fit import FLOW
from forecaster.training.joint_fit import JOINT_FLOW, JointFlowReport
from forecaster.training.loop import FitProgress
from forecaster.training.resume import fit_identity, state_from_bytes, state_to_bytes
from forecaster.training.stages import MARGINALS
from forecaster.training.trainer import OnProgress, Trainer
from forecaster.training.tree_fit import TreeReport, with_trees
from forecaster.trees.trees import TreeProgress
from forecaster.types import Series

__all__ = ["STAGES", "FitProgress", "FitReport", "FitResult", "OnCheckpoint", "OnProgress", "fit"]

STAGES = (MARGINALS, FLOW, JOINT_FLOW, TREES)
"""Stages of a fit in their order; one without further loads, or without trees, leaves some out."""


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


OnCheckpoint = Callable[[bytes], None]
"""Called after each epoch with the state of the training, which `resume` takes back."""


def fit(  # noqa: PLR0913 - what fixes the result, then how to run
    series: Sequence[Series],
    config: ForecasterConfig,
    seed: int,
    *,
    prior: TrainedModel | None = None,
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
        prior: What the network begins with; None, or one of another size: random parameters.
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
    used = {s.workload for s in usable}
    left = [s.workload for s in series if s.workload not in used]
    skipped = dict.fromkeys(left, "history too short or unobserved")
    if not usable:
        longest = max((s.n_steps for s in series), default=0)
        raise HistoryTooShort(
            f"none of {len(series)} series can be trained on (longest {longest} steps); with "
            f"context={config.window.context} and horizon={config.window.horizon} at least a few "
            "hundred observed steps are right"
        )
    if prior is not None and suits(prior, config):
        config = from_prior(config)
    else:
        prior = None
    identity = fit_identity(usable, config, seed)
    state = None if resume is None else state_from_bytes(resume, identity)
    names = sorted({name for s in usable for name in s.indicators})
    vocabulary = Vocabulary(tuple(s.workload for s in usable), tuple(names))
    trainer = Trainer(usable, config, seed, device, vocabulary, prior=prior)
    trainer.on_progress = on_progress
    if on_checkpoint is not None:
        trainer.on_state = lambda now: on_checkpoint(state_to_bytes(now, identity))
    if state is not None:
        trainer.load(state)
    trainer.run()
    return _result(trainer, skipped)


def _result(trainer: Trainer, skipped: dict[str, str]) -> FitResult:
    """Add the trees, and compare the model with the simple forecasters on validation."""
    n_windows = len(trainer.train)
    model, trees = _with_trees(trainer, trainer.frozen())
    copula, joint = (None, None) if trainer.joint is None else trainer.joint
    model = replace(model, joint=copula)
    model = replace(model, version=digest(model))
    predictors = contenders(model, trainer.config.window)
    rng = np.random.Generator(np.random.PCG64(trainer.seed))
    table = score_table(trainer.series, trainer.held, predictors, trainer.config, rng)
    picks = {w: min(POOLS, key=lambda name: row[name].crps) for w, row in table.items()}
    both = {w: (row[MODEL].crps, row[picks[w]].crps) for w, row in table.items()}
    report = FitReport(
        crps=float(np.mean([row[0] for row in both.values()])),
        crps_best_simple=float(np.mean([row[1] for row in both.values()])),
        crps_by_workload=both,
        picks=picks,
        epochs=sum(line.stage == MARGINALS for line in trainer.history),
        n_parameters=model.n_parameters,
        n_windows=n_windows,
        trees=trees,
        flow_gain=trainer.flow_gain,
        joint=joint,
        skipped=skipped,
        history=tuple(trainer.history),
    )
    return FitResult(model, report)


def _with_trees(trainer: Trainer, model: TrainedModel) -> tuple[TrainedModel, TreeReport | None]:
    """Train the trees; a fit that is interrupted here trains them again, from their start."""
    if not trainer.config.trees.is_used:
        return model, None

    def tell(done: TreeProgress) -> bool:
        losses = (done.train_loss, done.validation_loss)
        line = FitProgress(TREES, done.n_levels, done.n_all, *losses)
        trainer.history.append(line)
        return trainer.on_progress is None or trainer.on_progress(line) is not False

    return with_trees(model, trainer.series, *trainer.origins, trainer.seed, tell)
