"""Forecasters on offer: by name, and each the one that its name says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from forecaster.choice.baselines import POOLS
from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from forecaster.trees.trees import TreeShare
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.arms import ARMS, GROUPS, chosen
from services.lab.bench.forecast.floor_arm import KnownLevelArm
from services.lab.bench.forecast.own_arms import ColdArm, ModelArm, SimpleArm
from services.lab.bench.forecast.peers.lightgbm import LightGbmArm
from services.lab.bench.forecast.peers.neuralforecast import (
    DEEPAR,
    NHITS,
    PATCHTST,
    NeuralForecastArm,
)
from services.lab.bench.forecast.peers.statsforecast import AutoEtsArm
from services.lab.bench.forecast.report import FLOOR, is_peer
from services.lab.bench.forecast.shipped_arm import CalibratedArm, ShippedArm

NETWORKS: dict[str, dict[str, Any]] = {
    "network": {},
    "network_full_attention": {"model": replace(ModelConfig(), attention="full")},
    "network_no_attention": {"model": replace(ModelConfig(), attention="none")},
    "network_gaussian_copula": {"model": replace(ModelConfig(), flow_layers=0)},
    "network_nll": {"train": replace(TrainConfig(), loss="nll")},
    "network_last_value_skip": {"model": replace(ModelConfig(), has_window_skip=False)},
}


def config_of(name: str) -> ForecasterConfig:
    """Configuration of an arm that is the network alone."""
    arm = ARMS[name].make()
    assert isinstance(arm, ModelArm)
    assert arm.config is not None
    assert not arm.config.trees.is_used
    return arm.config


def test_the_shipped_forecaster_and_what_it_is_without() -> None:
    assert ARMS["harmony"].make() == ShippedArm()
    assert ARMS["harmony_uncalibrated"].make() == ShippedArm(is_calibrated=False)
    assert ARMS["harmony_unhedged"].make() == ShippedArm(is_hedged=False)
    assert ARMS["model"].make() == ModelArm()
    assert ARMS["model_cold"].make() == ColdArm()
    assert ARMS["trees"].make() == ModelArm(tree_share=TreeShare(1.0, 1.0))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_differs_in_what_its_name_says(name: str) -> None:
    config = config_of(name)
    assert config.model == NETWORKS[name].get("model", ModelConfig())
    assert config.train == NETWORKS[name].get("train", TrainConfig())


def test_an_undisturbed_network_sees_the_data_as_they_are() -> None:
    undisturbed = config_of("network_undisturbed").train
    parts = ("dropout", "input_dropout", "input_noise", "indicator_dropout", "shift_share")
    assert all(getattr(undisturbed, name) == 0.0 for name in parts)
    changes: dict[str, Any] = dict.fromkeys(parts, 0.0)
    assert undisturbed == replace(TrainConfig(), **changes)
    long = config_of("network_undisturbed_long").train
    assert long == replace(undisturbed, epochs=20, patience=6)


def test_peers_are_made_with_their_settings() -> None:
    assert ARMS["lightgbm"].make() == LightGbmArm(has_others=False)
    assert ARMS["lightgbm_others"].make() == LightGbmArm(has_others=True)
    assert ARMS["lightgbm_calibrated"].make() == CalibratedArm(LightGbmArm(has_others=False))
    assert ARMS["autoets"].make() == AutoEtsArm()
    for name, kind in (("nhits", NHITS), ("patchtst", PATCHTST), ("deepar", DEEPAR)):
        assert ARMS[name].make() == NeuralForecastArm(kind)


def test_the_floor_is_on_offer_and_among_no_peers() -> None:
    assert ARMS[FLOOR].make() == KnownLevelArm()
    assert FLOOR not in GROUPS["peers"]
    assert not is_peer(FLOOR)
    assert is_peer("lightgbm_calibrated")


def test_simple_forecasters_are_fixed_but_for_the_one_that_validation_picks() -> None:
    assert ARMS["best_simple"].make() == SimpleArm(None)
    assert all(ARMS[name].make() == SimpleArm(name) for name in POOLS)


def test_every_forecaster_says_what_it_is() -> None:
    assert all(entry.about for entry in ARMS.values())


def test_groups_hold_forecasters_on_offer_each_once() -> None:
    for names in GROUPS.values():
        assert set(names) <= set(ARMS)
        assert len(set(names)) == len(names)


def test_names_and_groups_are_put_together_in_order_each_once() -> None:
    assert list(chosen(" blend , default,harmony")) == ["blend", *GROUPS["default"]]
    assert list(chosen("all")) == list(ARMS)
    assert chosen("lightgbm_others") == {"lightgbm_others": LightGbmArm(has_others=True)}


@pytest.mark.parametrize("names", ["arima", "model,arima", "model,,blend", ""])
def test_an_unknown_name_is_refused_with_those_that_are_known(names: str) -> None:
    with pytest.raises(InvalidInput, match="is unknown; known: default, peers, ablations, all, "):
        chosen(names)
