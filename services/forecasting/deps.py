"""The forecasting service's dependencies, wired from settings."""

from __future__ import annotations

from functools import lru_cache

import torch

from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.registry.store import ModelStore
from services.forecasting.rows.translate import forecaster_config
from services.kernel.celery_app import CelerySender, get_celery
from services.kernel.clock import Clock, make_clock
from services.kernel.db.session import make_engine
from services.kernel.jobs import JobSender
from services.kernel.settings import Settings, get_settings


def make_forecasting(
    settings: Settings, sender: JobSender, clock: Clock | None = None
) -> Forecasting:
    """Wire the service.

    Args:
        settings: Settings of the process.
        sender: Where jobs go.
        clock: The clock that the settings name, when not given.
    """
    torch.set_num_threads(settings.torch_threads)
    return Forecasting(
        make_engine(settings.database_url),
        settings,
        clock or make_clock(settings.clock, settings.redis_url),
        sender,
        ModelStore(
            forecaster_config(settings),
            settings.stale_after_steps,
            shipped_prior() if settings.has_prior else None,
        ),
    )


@lru_cache(maxsize=1)
def get_forecasting() -> Forecasting:
    """The process's service."""
    return make_forecasting(get_settings(), CelerySender(get_celery()))
