"""The wiring of the decision service, made once per process on first use."""

from __future__ import annotations

from functools import lru_cache

from services.decision.decide.service import Deps
from services.kernel.celery_app import CelerySender, get_celery
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.settings import get_settings


@lru_cache(maxsize=1)
def get_deps() -> Deps:
    """The process's dependencies, made on first use."""
    settings = get_settings()
    return Deps(
        engine=make_engine(settings.database_url),
        clock=make_clock(settings.clock, settings.redis_url),
        settings=settings,
        sender=CelerySender(get_celery()),
    )
