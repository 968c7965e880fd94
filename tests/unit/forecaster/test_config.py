"""Configuration: wrong settings are named, and it survives its dictionary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forecaster.config import ForecasterConfig, TrainConfig
from forecaster.errors import (
    ConfigError,
)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("window", "horizon", 0),
        ("window", "context", 10),
        ("window", "quantile_levels", (0.1, 0.9)),
        ("window", "quantile_levels", (0.9, 0.5, 0.1)),
        ("model", "attention", "magic"),
        ("model", "width", 63),
        ("train", "targets", "some"),
        ("train", "validation_ratio", 1.0),
        ("train", "batch", 0),
    ],
)
def test_a_wrong_setting_is_named(section: str, field: str, value: object) -> None:
    part = getattr(ForecasterConfig(), section)
    with pytest.raises(ConfigError, match=field):
        replace(part, **{field: value})


def test_a_configuration_survives_its_dictionary() -> None:
    config = ForecasterConfig(train=TrainConfig(epochs=3))
    assert ForecasterConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="model"):
        ForecasterConfig.from_dict({"window": {}, "train": {}})
    with pytest.raises(ConfigError, match="colour"):
        ForecasterConfig.from_dict({**config.to_dict(), "model": {"colour": 1}})
