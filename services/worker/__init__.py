"""Workers: the one process kind that runs several services' tasks. `celery -A services.worker`."""

from celery import Celery


def __getattr__(name: str) -> Celery:
    """Celery's own command looks for `app`; it is made when asked for."""
    if name != "app":
        raise AttributeError(name)
    from services.kernel.settings import get_settings
    from services.worker.run import worker_app

    return worker_app(get_settings())
