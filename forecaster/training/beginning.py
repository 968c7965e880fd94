"""How a fit begins with the prior: its parameters, and fewer passes over fewer windows."""

from __future__ import annotations

from dataclasses import replace

from forecaster.config import ForecasterConfig
from forecaster.network.model import ForecastNet
from forecaster.predict import TrainedModel

NAMES = ("encoder.role.weight", "encoder.workload.weight")
"""Parameters by indicator and by workload, which the prior knows none of."""
EPOCHS = 2
MAX_WINDOWS = 6_000
LEARNING_RATE = 1e-3


def suits(prior: TrainedModel, config: ForecasterConfig) -> bool:
    """Check whether a prior has the windows and the network that a fit asks for."""
    return prior.config.window == config.window and prior.config.model == config.model


def from_prior(config: ForecasterConfig) -> ForecasterConfig:
    """The training that is left to do for a network that begins with the prior."""
    train = replace(
        config.train,
        epochs=min(config.train.epochs, EPOCHS),
        max_windows=min(config.train.max_windows, MAX_WINDOWS),
        learning_rate=min(config.train.learning_rate, LEARNING_RATE),
    )
    return replace(config, train=train)


def begin_with(net: ForecastNet, prior: TrainedModel) -> None:
    """Give a network the prior's parameters; every name begins as the prior's unknown one does."""
    own = net.state_dict()
    for name, value in prior.net.state_dict().items():
        own[name] = own[name] + value[0] if name in NAMES else value
    net.load_state_dict(own)
