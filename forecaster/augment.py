"""Changes to training windows, so that the network has seen what production brings.

Histories are short and mostly calm; a new workload, a migration or a silent exporter is not. Each
change is drawn from the passed generator and is never applied in validation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from forecaster.config import TrainConfig
from forecaster.network.model import NetInputs
from forecaster.types import F32, Windows

MAX_LOG_SHIFT = 0.8
"""Largest made-up change of level: a factor of 2.2 up or down."""


def hide_older(windows: Windows, setting: TrainConfig, generator: torch.Generator) -> Windows:
    """Make some contexts look like young workloads: older steps and seasons unobserved.

    Any number of steps from `setting.shortest` on is as likely to be kept as any other.
    """
    n_rows, n_steps = windows.values.shape[:2]
    cold = torch.rand(n_rows, generator=generator).numpy() < setting.cold_share
    shortest = min(setting.shortest, n_steps)
    kept = torch.randint(shortest, n_steps + 1, (n_rows,), generator=generator).numpy()
    demand_seen = windows.demand()[1]
    recent = np.arange(n_steps)[None, :] >= n_steps - kept[:, None]
    cold &= (demand_seen & recent).any(axis=1)
    keep = np.where(cold[:, None], recent, True)
    return replace(
        windows,
        observed=windows.observed & keep[..., None],
        season_observed=windows.season_observed & ~cold[:, None, None, None],
    )


def shift_level(windows: Windows, share: float, generator: torch.Generator) -> tuple[Windows, F32]:
    """Give some rows a change of level from a random step of the context on.

    A history rarely holds more than one roll-out or migration, so a network trained on it expects
    every excursion to revert, and goes on expecting it for as long as the old level is in the
    context. The shift is log-uniform in size and in age: the first steps after it matter most. A
    schedule that is known ahead does not shift with the load.

    Args:
        windows: B windows.
        share: Share of rows that are changed.
        generator: Source of the choice.

    Returns:
        The windows, and the factor `(B,)` by which the outcome of each row must be multiplied.
    """
    n_rows, n_steps = windows.values.shape[:2]
    is_shifted, age, size = torch.rand(3, n_rows, generator=generator).numpy()
    n_after = np.exp(age * np.log(n_steps)).astype(np.int64)
    factor = np.where(is_shifted < share, np.exp((2 * size - 1) * MAX_LOG_SHIFT), 1)
    factor = factor.astype(np.float32)
    is_after = np.arange(n_steps) >= n_steps - n_after[:, None]
    by_step = np.where(is_after, factor[:, None], np.float32(1))
    by_step = np.where(windows.known_ahead[:, None], np.float32(1), by_step[..., None])
    return replace(windows, values=windows.values * by_step), factor


def disturb(inputs: NetInputs, setting: TrainConfig, generator: torch.Generator) -> None:
    """Hide and disturb parts of a training batch, in place.

    Workload ids are hidden so that an unknown workload is served by the shared embedding;
    indicators so that none is leaned on alone; features and noise against learning by heart.
    """
    hidden = torch.rand(len(inputs), generator=generator)
    inputs.workload.mul_(hidden >= setting.workload_dropout)
    tokens = inputs.tokens
    tokens.add_(torch.randn(tokens.shape, generator=generator), alpha=setting.input_noise)
    kept = torch.rand(tokens.shape, generator=generator) >= setting.input_dropout
    tokens.mul_(kept).div_(1 - setting.input_dropout)
    is_shown = torch.rand(inputs.has_data.shape, generator=generator) >= setting.indicator_dropout
    is_shown.scatter_(1, inputs.targets, value=True)
    inputs.has_data.logical_and_(is_shown)
