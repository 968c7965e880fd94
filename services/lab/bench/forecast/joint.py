"""Worth of one flow over several indicators and all steps ahead, on the test part of a trace.

The same marginals under four dependences: none; a Gaussian copula of each indicator's steps alone;
one Gaussian copula of everything; the conditional flow. Only the dependence differs, so differences
of the log density and of the path scores are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins
from forecaster.features import gather_windows
from forecaster.joint import JointModel, named_slots
from forecaster.metrics import crps_of_samples
from forecaster.network.flow import FlowCopula, Scores
from forecaster.predict import TrainedModel
from forecaster.training.fit import fit
from forecaster.training.flow_fit import correlation_of, fit_flow
from forecaster.types import Windows
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.forecast.own_arms import bench_config
from services.lab.bench.forecast.peers.inputs import train_origins
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import BoolArray, F32Array, IntArray

MAX_FIT_WINDOWS = 6_000
MAX_TEST_WINDOWS = 1_500
N_PATHS = 100
CHUNK = 32
FLOW_EPOCHS = 12
DEPENDENCES = ("independent", "Gaussian, own steps", "Gaussian", "flow")


@dataclass(frozen=True, slots=True)
class JointOptions:
    """Options of the measurement.

    Attributes:
        indicators: G names that are forecast together; none: all that move in every workload.
        seed: Fixes training and paths.
        config: The model's configuration; None: the product's.
    """

    indicators: tuple[str, ...] = ()
    seed: int = 7
    config: ForecasterConfig | None = None


def bench_joint(task: BenchTask, options: JointOptions, tell: Tell) -> dict[str, Any]:
    """Train marginals of every indicator once, fit each dependence to them, score on the test part.

    Args:
        task: A task whose targets are all indicators.
        options: What to measure.
        tell: Takes lines of progress.

    Returns:
        The document of `--json`: per dependence the log density gained over independence, nats per
        window, and the CRPS of sum and maximum over indicators and steps, each in its own unit.

    Raises:
        InvalidInput: Fewer than two of the indicators exist.
    """
    names = _indicators(task, options.indicators)
    config = bench_config(task, options.config)
    tell("marginals")
    model = fit(
        task.histories(),
        config,
        options.seed,
        on_progress=lambda line: tell(f"{line.stage} {line.epoch}/{line.n_epochs}"),
    ).model
    rng = make_rng(options.seed, "bench", "joint")
    train = _thinned(train_origins(task), MAX_FIT_WINDOWS, rng)
    held = _thinned(task.validation_origins(), MAX_FIT_WINDOWS // 4, rng)
    test = _thinned(task.test_origins(), MAX_TEST_WINDOWS, rng)
    bench = _JointBench(task, model, names, options.seed)
    parts = bench.scores(train), bench.scores(held)
    found = {}
    for kind in DEPENDENCES:
        tell(f"{kind}: fitting")
        joint = bench.joint(kind, *parts)
        tell(f"{kind}: {test.which.size} windows")
        found[kind] = bench.figures(joint, test)
    return {
        "data": task.data,
        "indicators": list(names),
        "workloads": len(task.series),
        "test_windows": int(test.which.size),
        "horizon": task.window.horizon,
        "seed": options.seed,
        "dependences": found,
    }


def table_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the terminal table: gains over independent indicators and steps."""
    found = document["dependences"]
    base = found["independent"]
    return [
        {
            "dependence": kind,
            "log density, nats": f"{own['log_density'] - base['log_density']:+.2f}",
            "CRPS of the sum": f"{own['sum_crps'] / base['sum_crps']:.3f}",
            "CRPS of the largest": f"{own['largest_crps'] / base['largest_crps']:.3f}",
        }
        for kind, own in found.items()
    ]


def _indicators(task: BenchTask, asked: Sequence[str]) -> tuple[str, ...]:
    """The indicators forecast together.

    Raises:
        InvalidInput: One is unknown, or there are fewer than two.
    """
    unknown = [name for name in asked if name not in task.target_names]
    if unknown:
        known = ", ".join(task.target_names)
        raise InvalidInput(f"--indicators: {unknown[0]!r} is unknown; known: {known}")
    names = tuple(asked) or tuple(n for n in task.target_names if _moves(task, n))
    if len(names) < 2:
        raise InvalidInput(
            f"--indicators={','.join(names)}: at least two are needed; known: "
            f"{', '.join(task.target_names)}; by itself only what moves in every workload is taken"
        )
    return names


def _moves(task: BenchTask, name: str) -> bool:
    """Check whether every workload has an indicator and it changes in the training part."""
    for series, end in zip(task.series, task.train_ends, strict=True):
        if name not in series.indicators:
            return False
        at = series.indicators.index(name)
        seen = series.values[:end, at][series.observed[:end, at]]
        if not seen.size or seen.min() == seen.max():
            return False
    return True


def _thinned(origins: Origins, n_most: int, rng: np.random.Generator) -> Origins:
    n = origins.which.size
    kept = np.arange(n) if n <= n_most else np.sort(rng.choice(n, n_most, replace=False))
    return origins.take(kept)


@dataclass(frozen=True, slots=True)
class _JointBench:
    """Inputs that all dependences share."""

    task: BenchTask
    model: TrainedModel
    names: tuple[str, ...]
    seed: int

    def flow(self, n_layers: int) -> FlowCopula:
        """An unfitted flow over all targets."""
        size = replace(self.model.config.model, flow_layers=n_layers)
        first = torch.Generator().manual_seed(self.seed)
        return FlowCopula(self.task.window.horizon, size, first, len(self.names))

    @property
    def at(self) -> list[int]:
        """Positions of the indicators among the task's targets."""
        return [self.task.target_names.index(name) for name in self.names]

    def truth(self, origins: Origins) -> tuple[F32Array, BoolArray]:
        """Outcomes `(B, G, H)` of the indicators, and which were observed."""
        whole = self.task.truth(origins)
        return whole.actual[:, self.at], whole.observed[:, self.at]

    def windows(self, origins: Origins) -> Windows:
        """Their windows."""
        return gather_windows(self.task.series, origins.which, origins.position, self.task.window)

    def scores(self, origins: Origins) -> Scores:
        """Normal scores of what happened, to fit a dependence to."""
        windows = self.windows(origins)
        found, _ = JointModel(self.model, self.flow(0)).scores(
            windows, named_slots(windows, self.names), *self.truth(origins)
        )
        return found

    def joint(self, kind: str, train: Scores, held: Scores) -> JointModel:
        """The model under one of `DEPENDENCES`."""
        flow = self.flow(self.model.config.model.flow_layers if kind == "flow" else 0)
        if kind in ("flow", "Gaussian"):
            order = torch.Generator().manual_seed(self.seed)
            fit_flow(flow, train, held, FLOW_EPOCHS, order)
        elif kind == "independent":
            flow.set_correlation(torch.eye(flow.n_dimensions))
        else:
            horizon = self.task.window.horizon
            block = torch.kron(torch.eye(len(self.names)), torch.ones(horizon, horizon))
            flow.set_correlation(correlation_of(train.z, train.present) * block)
        flow.eval().requires_grad_(requires_grad=False)
        return JointModel(self.model, flow)

    def figures(self, joint: JointModel, origins: Origins) -> dict[str, float]:
        """Means over windows, then over workloads, all indicators in the task's units."""
        actual, observed = self.truth(origins)
        unit = self.task.units[origins.which][:, self.at].astype(np.float32)
        rng = make_rng(self.seed, "bench", "joint", "paths")
        whole = np.flatnonzero(observed.all(axis=(1, 2)))
        parts = []
        for start in range(0, whole.size, CHUNK):
            rows = whole[start : start + CHUNK]
            windows = self.windows(origins.take(rows))
            found = joint.predict(windows, named_slots(windows, self.names), N_PATHS, rng)
            paths = (found.paths / unit[rows, None, :, None]).reshape(len(rows), N_PATHS, -1)
            seen = (actual[rows] / unit[rows, :, None]).reshape(len(rows), -1)
            total = crps_of_samples(paths.sum(axis=2), seen.sum(axis=1))
            parts.append((total, crps_of_samples(paths.max(axis=2), seen.max(axis=1))))
        total, largest = (np.concatenate(part) for part in zip(*parts, strict=True))
        which = origins.which[whole]
        windows = self.windows(origins)
        density = joint.log_prob(windows, named_slots(windows, self.names), actual, observed)
        return {
            "log_density": _mean(density, origins.which),
            "sum_crps": _mean(total, which),
            "largest_crps": _mean(largest, which),
        }


def _mean(values: npt.NDArray[np.floating[Any]], which: IntArray) -> float:
    """Mean over windows, then over workloads."""
    own = [values[which == i].mean(dtype=np.float64) for i in np.unique(which)]
    return float(np.mean(own))
