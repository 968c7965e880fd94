"""The prior that is part of the distribution: a network that has seen no fleet."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

from forecaster import PRIOR_RUNG, TrainedModel, model_from_bytes

PRIOR_FILE = "prior.safetensors"
CARD_FILE = "prior.json"
"""Figures of the prior: data, licences, seed, size; docs/prior.md is their text."""


def shipped_bytes(name: str) -> bytes:
    """A file beside this module."""
    return files("services.forecasting.registry").joinpath(name).read_bytes()


@lru_cache(maxsize=1)
def shipped_prior() -> TrainedModel:
    """The prior, read once per process."""
    return replace(model_from_bytes(shipped_bytes(PRIOR_FILE)), name=PRIOR_RUNG)
