"""The forecasters of `harmony bench forecast`, by the name the command line knows them under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from forecaster.choice.baselines import POOLS
from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig, TreeConfig
from forecaster.trees.trees import TreeShare
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.arm import Arm
from services.lab.bench.forecast.floor_arm import KnownLevelArm
from services.lab.bench.forecast.own_arms import ColdArm, ModelArm, SimpleArm
from services.lab.bench.forecast.peers.lightgbm import LightGbmArm
from services.lab.bench.forecast.peers.neuralforecast import (
    DEEPAR,
    NHITS,
    PATCHTST,
    NetKind,
    NeuralForecastArm,
)
from services.lab.bench.forecast.peers.statsforecast import AutoEtsArm
from services.lab.bench.forecast.report import FLOOR
from services.lab.bench.forecast.shipped_arm import CalibratedArm, ShippedArm

GROUPS = {
    "default": ("harmony", "model", "best_simple", "seasonal_naive", "last_value"),
    "peers": (
        "best_simple",
        "lightgbm",
        "lightgbm_others",
        "lightgbm_calibrated",
        "autoets",
        "nhits",
        "patchtst",
        "deepar",
    ),
    "ablations": (
        "model",
        "network",
        "trees",
        "network_full_attention",
        "network_no_attention",
        "network_gaussian_copula",
        "network_nll",
        "network_last_value_skip",
        "network_undisturbed",
        "network_undisturbed_long",
    ),
}
"""Names that stand for several forecasters; `all` is every one on offer."""
MODEL = ModelConfig()
TRAIN = TrainConfig()
NO_TREES = TreeConfig(is_used=False)
UNDISTURBED = replace(
    TRAIN, dropout=0.0, input_dropout=0.0, input_noise=0.0, indicator_dropout=0.0, shift_share=0.0
)


@dataclass(frozen=True, slots=True)
class ArmEntry:
    """A forecaster on offer.

    Attributes:
        make: Makes it; libraries load later, when it is fitted.
        about: One line.
    """

    make: Callable[[], Arm]
    about: str


def _network(model: ModelConfig = MODEL, train: TrainConfig = TRAIN) -> Callable[[], Arm]:
    return lambda: ModelArm(ForecasterConfig(model=model, train=train, trees=NO_TREES))


def _trees() -> Arm:
    return ModelArm(tree_share=TreeShare(1.0, 1.0))


def _uncalibrated() -> Arm:
    return ShippedArm(is_calibrated=False)


def _unhedged() -> Arm:
    return ShippedArm(is_hedged=False)


def _lightgbm(*, has_others: bool) -> Callable[[], Arm]:
    return lambda: LightGbmArm(has_others=has_others)


def _calibrated_lightgbm() -> Arm:
    return CalibratedArm(LightGbmArm())


def _peer_network(kind: NetKind) -> Callable[[], Arm]:
    return lambda: NeuralForecastArm(kind)


def _simple(name: str | None) -> Callable[[], Arm]:
    return lambda: SimpleArm(name)


ARMS: dict[str, ArmEntry] = {
    "harmony": ArmEntry(ShippedArm, "the model, hedge, online calibration"),
    "harmony_uncalibrated": ArmEntry(_uncalibrated, "the same without online calibration"),
    "harmony_unhedged": ArmEntry(_unhedged, "the same without the hedge by the last value"),
    "model": ArmEntry(ModelArm, "network and trees averaged: no hedge, no calibration"),
    "network": ArmEntry(_network(), "the network without the trees"),
    "trees": ArmEntry(_trees, "the trees of the model without its network"),
    "model_cold": ArmEntry(
        ColdArm, "the model for workloads unknown by name with 48 steps of history"
    ),
    "network_full_attention": ArmEntry(
        _network(replace(MODEL, attention="full")), "every token reads every other"
    ),
    "network_no_attention": ArmEntry(
        _network(replace(MODEL, attention="none")), "the target's own token alone"
    ),
    "network_gaussian_copula": ArmEntry(
        _network(replace(MODEL, flow_layers=0)), "joint paths from a Gaussian copula, no flow"
    ),
    "network_nll": ArmEntry(
        _network(train=replace(TRAIN, loss="nll")), "trained on the log likelihood, not the CRPS"
    ),
    "network_last_value_skip": ArmEntry(
        _network(replace(MODEL, has_window_skip=False)), "the head mixes the last value only"
    ),
    "network_undisturbed": ArmEntry(
        _network(train=UNDISTURBED), "no dropout, noise or made-up shifts in training"
    ),
    "network_undisturbed_long": ArmEntry(
        _network(train=replace(UNDISTURBED, epochs=20, patience=6)),
        "the same for up to 20 epochs instead of 6",
    ),
    "best_simple": ArmEntry(_simple(None), "per target the simple forecaster validation picks"),
    "lightgbm": ArmEntry(_lightgbm(has_others=False), "LightGBM quantile trees, global, own lags"),
    "lightgbm_others": ArmEntry(
        _lightgbm(has_others=True), "the same with the other indicators' newest values"
    ),
    "lightgbm_calibrated": ArmEntry(
        _calibrated_lightgbm, "LightGBM under the online calibration of Harmony"
    ),
    "autoets": ArmEntry(AutoEtsArm, "statsforecast AutoETS per series"),
    "nhits": ArmEntry(_peer_network(NHITS), "neuralforecast NHITS, global"),
    "patchtst": ArmEntry(_peer_network(PATCHTST), "neuralforecast PatchTST, global"),
    "deepar": ArmEntry(_peer_network(DEEPAR), "neuralforecast DeepAR, global"),
    FLOOR: ArmEntry(KnownLevelArm, "no forecaster: each step's level is read from both its sides"),
    **{name: ArmEntry(_simple(name), "a simple forecaster, nothing trained") for name in POOLS},
}


def chosen(names: str) -> dict[str, Arm]:
    """The forecasters of a comma-separated list of names and groups.

    Raises:
        InvalidInput: A name is unknown.
    """
    found: dict[str, Arm] = {}
    for name in (part.strip() for part in names.split(",")):
        for one in tuple(ARMS) if name == "all" else GROUPS.get(name, (name,)):
            if one not in ARMS:
                known = ", ".join([*GROUPS, "all", *ARMS])
                raise InvalidInput(f"--models: {one!r} is unknown; known: {known}")
            found[one] = ARMS[one].make()
    return found
