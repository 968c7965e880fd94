"""Jobs wait as long by the replay's time, at whatever speed it passes."""

from __future__ import annotations

from pathlib import Path

from services.kernel.celery_app import make_celery
from services.kernel.settings import Settings
from services.lab.bench.fleet.speed import WaitLimits, write_speed


def test_limits_go_with_the_speed_and_back(tmp_path: Path) -> None:
    app = make_celery(Settings(step_s=60))
    limits = WaitLimits(tmp_path)
    limits.follow(app)
    assert (app.conf.harmony_expires_s, app.conf.harmony_deferred_s) == (180, 600)
    write_speed(tmp_path, 30.0)
    limits.follow(app)
    assert (app.conf.harmony_expires_s, app.conf.harmony_deferred_s) == (6, 20)
    write_speed(tmp_path, 1000.0)
    limits.follow(app)
    assert app.conf.harmony_expires_s == 1
    write_speed(tmp_path, 1.0)
    limits.follow(app)
    assert app.conf.harmony_expires_s == 180
