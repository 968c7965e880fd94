"""NHITS, PatchTST and DeepAR of neuralforecast as arms of a benchmark.

One global model over all workloads and targets. A window is normalised by its own median and mean
absolute deviation before the library sees it, so its own scaler is off; every window is then a
short series of its own, in training as in answering. Two settings are trained, validation picks.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from forecaster.dataset import Origins
from forecaster.metrics import crps_of_quantiles
from services.kernel.clock import make_rng, wall_seconds
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.peers.inputs import (
    NormalisedWindows,
    floors,
    library,
    normalised_windows,
    train_origins,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array, IntArray

MAX_WINDOWS = 20_000
MAX_VALIDATION_PAIRS = 2_000
PREDICT_PAIRS = 4_096
SAMPLED_PAIRS = 256
"""Pairs whose paths are drawn at once."""
RECURRENT_STEPS = 24
"""Steps per window that DeepAR is trained on at once."""
MAX_PATHS = 100
"""Paths that DeepAR draws per origin."""
DRAWS_PER_PATH = 5
"""Values drawn for each path's step; quantiles are those of all, one of them goes on."""


@dataclass(frozen=True, slots=True)
class NetSettings:
    """One of the settings that validation chooses from.

    Attributes:
        learning_rate: Of Adam; halved three times on the way.
        max_steps: Gradient steps.
    """

    learning_rate: float
    max_steps: int


@dataclass(frozen=True, slots=True)
class NetKind:
    """A network of the library.

    Attributes:
        name: Class name.
        batch: Windows per gradient step.
        size: Its width and depth, as the library names them.
        grid: Settings.
    """

    name: str
    batch: int
    size: dict[str, Any]
    grid: tuple[NetSettings, ...]

    @property
    def is_recurrent(self) -> bool:
        """Check whether it is trained one step ahead and draws paths."""
        return self.name == "DeepAR"


NHITS = NetKind(
    "NHITS",
    256,
    {"mlp_units": 3 * [[256, 256]]},
    (NetSettings(1e-3, 800), NetSettings(3e-4, 800)),
)
PATCHTST = NetKind(
    "PatchTST",
    128,
    {"hidden_size": 64, "n_heads": 4, "encoder_layers": 2, "linear_hidden_size": 128},
    (NetSettings(1e-3, 600), NetSettings(3e-4, 600)),
)
DEEPAR = NetKind(
    "DeepAR",
    128,
    {"lstm_hidden_size": 40, "lstm_n_layers": 2},
    (NetSettings(3e-3, 300), NetSettings(1e-3, 300)),
)


@dataclass(frozen=True, slots=True)
class NeuralForecastArm:
    """A network of neuralforecast on one thread.

    Attributes:
        kind: `NHITS`, `PATCHTST` or `DEEPAR`.
        budget_s: Wall seconds that training all settings may take together (default 120); a
            setting that runs out of its share stops early, and `tell` says so: figures are only
            repeatable where none did.
    """

    kind: NetKind = field(default=NHITS)
    budget_s: float = 120.0

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedNet:
        """See `Arm`.

        Raises:
            MissingLibrary: neuralforecast is not installed.
        """
        rng = make_rng(seed, "bench", self.kind.name)
        ahead = RECURRENT_STEPS if self.kind.is_recurrent else task.window.horizon
        windows = _train_windows(task, ahead, rng)
        held = _Held.of(task, rng)
        best: tuple[float, FittedNet] | None = None
        for settings in self.kind.grid:
            seconds = self.budget_s / len(self.kind.grid)
            with _quiet_single_thread():
                net = _network(self.kind, settings, task, seed, seconds)
                started = wall_seconds()
                net.fit(_dataset(windows))
            if wall_seconds() - started >= seconds:
                tell(f"{self.kind.name} {settings}: stopped after its {seconds:g} s")
            fitted = FittedNet(self.kind, net)
            loss = held.loss(fitted, make_rng(seed, "bench", self.kind.name, "validation"))
            tell(f"{self.kind.name} {settings}: validation {loss:.5f}")
            if best is None or loss < best[0]:
                best = (loss, fitted)
        if best is None:
            raise ValueError("grid=() must hold at least one NetSettings")
        return best[1]


@dataclass(frozen=True, slots=True)
class FittedNet:
    """See `Fitted`.

    Attributes:
        kind: What it is.
        net: The library's trained network.
    """

    kind: NetKind
    net: Any

    @property
    def n_parameters(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self.net.parameters() if p.requires_grad)

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`; crossing quantiles are sorted."""
        n_rows, n_targets = origins.which.size, task.targets.shape[1]
        horizon = task.window.horizon
        found = np.empty((n_rows * n_targets, LEVELS.size, horizon), dtype=np.float32)
        is_recurrent = self.kind.is_recurrent
        n_drawn = min(n_paths, MAX_PATHS)
        paths = np.zeros((n_rows, n_drawn, horizon), dtype=np.float32) if is_recurrent else None
        lowest, demand = floors(task), task.demand_target()
        with _quiet_single_thread():
            for start in range(0, found.shape[0], PREDICT_PAIRS):
                pair = np.arange(start, min(start + PREDICT_PAIRS, found.shape[0]))
                row, target = pair // n_targets, pair % n_targets
                own = origins.take(row)
                floor = lowest[own.which, target][:, None, None]
                quantiles, drawn = self.answer(task, own, target, rng)
                found[pair] = np.maximum(quantiles, floor)
                if paths is not None and drawn is not None:
                    is_demand = demand[own.which] == target
                    paths[row[is_demand]] = np.maximum(drawn, floor)[is_demand, :n_drawn]
        return Prediction(found.reshape(n_rows, n_targets, LEVELS.size, horizon), paths)

    def answer(
        self, task: BenchTask, origins: Origins, target: IntArray, rng: np.random.Generator
    ) -> tuple[F32Array, F32Array | None]:
        """Quantiles (R, Q, H) and paths (R, S, H) of R pairs of origin and target, raw unit."""
        horizon = task.window.horizon
        windows = normalised_windows(task, origins, target, 0)
        location, scale = windows.location[:, None, None], windows.scale[:, None, None]
        if self.kind.is_recurrent:
            parts = [
                _sampled_paths(self.net, windows.z[k : k + SAMPLED_PAIRS], horizon, rng)
                for k in range(0, target.size, SAMPLED_PAIRS)
            ]
            z, drawn = (np.concatenate(part) for part in zip(*parts, strict=True))
            return location + scale * z, location + scale * drawn
        flat = self.net.predict(_dataset(windows))
        z = np.swapaxes(flat.reshape(target.size, horizon, LEVELS.size), 1, 2)
        return np.sort(location + scale * z, axis=1).astype(np.float32), None


def _sampled_paths(
    net: Any, z: F32Array, horizon: int, rng: np.random.Generator
) -> tuple[F32Array, F32Array]:
    """Quantiles (R, Q, H) and ancestral draws (R, S, H): each step drawn is read by the next.

    The library's own prediction feeds the mean back, which leaves out what a step's error does to
    the steps after it.
    """
    n_rows = z.shape[0]
    drawn = np.empty((n_rows, MAX_PATHS, horizon), dtype=np.float32)
    quantiles = np.empty((n_rows, LEVELS.size, horizon), dtype=np.float32)
    net.eval()
    net.h, net.maintain_state, net.rnn_state = 1, True, None
    with torch.no_grad():
        read = torch.from_numpy(z)[..., None]
        for h in range(horizon):
            freedom, centre, spread = _student(net, read)
            if h == 0:
                freedom, centre, spread = (
                    np.repeat(part, MAX_PATHS) for part in (freedom, centre, spread)
                )
                net.rnn_state = tuple(
                    state.repeat_interleave(MAX_PATHS, dim=1) for state in net.rnn_state
                )
            noise = rng.standard_t(freedom[:, None], (freedom.size, DRAWS_PER_PATH))
            values = (centre[:, None] + spread[:, None] * noise).astype(np.float32)
            found = np.quantile(values.reshape(n_rows, -1), LEVELS, axis=1, method="hazen")
            quantiles[:, :, h] = np.sort(found.T, axis=1)
            drawn[:, :, h] = values[:, 0].reshape(n_rows, MAX_PATHS)
            read = torch.from_numpy(values[:, :1])[..., None]
    net.h, net.maintain_state, net.rnn_state = net.horizon_backup, False, None
    return quantiles, drawn


def _student(net: Any, read: torch.Tensor) -> tuple[F32Array, F32Array, F32Array]:
    """Degrees of freedom, centre and scale of the step after what was read, each (R,)."""
    found = net({"insample_y": read, "hist_exog": None, "futr_exog": None, "stat_exog": None})
    parts = net.loss.scale_decouple(net.loss.domain_map(found), torch.zeros(1), torch.ones(1))
    freedom, centre, spread = (part[:, 0, 0].numpy() for part in parts)
    return freedom, centre, spread


def _network(
    kind: NetKind,
    settings: NetSettings,
    task: BenchTask,
    seed: int,
    seconds: float,
) -> Any:
    models = library("neuralforecast", "models")
    losses = library("neuralforecast", "losses.pytorch")
    levels = [float(level) for level in LEVELS]
    if kind.is_recurrent:
        # StudentT is the library's default for DeepAR.
        loss = {
            "loss": losses.DistributionLoss("StudentT", quantiles=levels),
            "valid_loss": losses.MQLoss(quantiles=levels),
            "h_train": RECURRENT_STEPS,
        }
    else:
        loss = {"loss": losses.MQLoss(quantiles=levels)}
    return getattr(models, kind.name)(
        h=task.window.horizon,
        input_size=task.window.context - (1 if kind.is_recurrent else 0),
        **kind.size,
        **loss,
        learning_rate=settings.learning_rate,
        num_lr_decays=3,
        max_steps=settings.max_steps,
        val_check_steps=settings.max_steps,
        batch_size=kind.batch,
        windows_batch_size=kind.batch,
        valid_batch_size=PREDICT_PAIRS,
        inference_windows_batch_size=PREDICT_PAIRS,
        scaler_type="identity",
        random_seed=seed % 2**31,
        accelerator="cpu",
        devices=1,
        max_time={"seconds": seconds},
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )


def _train_windows(task: BenchTask, ahead: int, rng: np.random.Generator) -> NormalisedWindows:
    """At most `MAX_WINDOWS` windows with `ahead` steps of outcome, from the training part."""
    origins, n_targets = train_origins(task), task.targets.shape[1]
    ends = np.array(task.train_ends)[origins.which]
    origins = origins.take(np.flatnonzero(origins.position + ahead < ends))
    pair = np.arange(origins.which.size * n_targets)
    pair = pair[(task.targets[origins.which] >= 0).ravel()]
    if pair.size > MAX_WINDOWS:
        pair = np.sort(rng.choice(pair, MAX_WINDOWS, replace=False))
    found = normalised_windows(task, origins.take(pair // n_targets), pair % n_targets, ahead)
    return found.take(np.flatnonzero(found.is_learnable(ahead)))


@dataclass(frozen=True, slots=True)
class _Held:
    """Validation pairs and what happened there."""

    task: BenchTask
    origins: Origins
    target: IntArray

    @staticmethod
    def of(task: BenchTask, rng: np.random.Generator) -> _Held:
        """Pairs of the validation part whose target exists, thinned to the most that are used."""
        origins, n_targets = task.validation_origins(), task.targets.shape[1]
        pair = np.flatnonzero((task.targets[origins.which] >= 0).ravel())
        if pair.size > MAX_VALIDATION_PAIRS:
            pair = np.sort(rng.choice(pair, MAX_VALIDATION_PAIRS, replace=False))
        return _Held(task, origins.take(pair // n_targets), pair % n_targets)

    def loss(self, fitted: FittedNet, rng: np.random.Generator) -> float:
        """Mean CRPS in the task's units."""
        with _quiet_single_thread():
            quantiles, _ = fitted.answer(self.task, self.origins, self.target, rng)
        truth = self.task.truth(self.origins)
        row = np.arange(self.target.size)
        actual, seen = truth.actual[row, self.target], truth.observed[row, self.target]
        unit = self.task.units[self.origins.which, self.target][:, None]
        return float((crps_of_quantiles(quantiles, LEVELS, actual) / unit)[seen].mean())


def _dataset(windows: NormalisedWindows) -> Any:
    """Each window as one series of the library."""
    tsdataset = library("neuralforecast", "tsdataset")
    pandas = library("pandas")
    n_rows, n_steps = windows.z.shape
    temporal = np.stack([windows.z.ravel(), windows.observed.ravel()], axis=1).astype(np.float32)
    return tsdataset.TimeSeriesDataset(
        temporal=temporal,
        temporal_cols=pandas.Index(["y", "available_mask"]),
        indptr=np.arange(n_rows + 1) * n_steps,
        y_idx=0,
    )


@contextmanager
def _quiet_single_thread() -> Iterator[None]:
    """One thread, the library's notices off, and torch's global random state as it was."""
    library("neuralforecast", "models")  # its import sets the loggers' levels
    n_threads = torch.get_num_threads()
    names = (
        "pytorch_lightning",
        "lightning_fabric",
        "lightning.fabric",
        "pytorch_lightning.utilities",
    )
    levels = {name: logging.getLogger(name).level for name in names}
    torch.set_num_threads(1)
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            for module in (r"pytorch_lightning\.", r"lightning_fabric\.", r"neuralforecast\."):
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        torch.set_num_threads(n_threads)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
