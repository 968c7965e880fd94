"""Parameters that routes share: bounds of ids and pages, and the window asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI

from services.admin.deps import AdminDeps
from services.admin.rest.params import Cursor, FromAt, Id, Limit, Name, Namespace, ToAt, window
from services.admin.rest.times import Window
from services.kernel.errors import InvalidInput
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def client() -> Iterator[AppClient]:
    """A client of one route that takes every parameter and gives the numbers back."""
    app = FastAPI()

    @app.get("/{namespace}/{name}/{number}")
    def read(
        namespace: Namespace,
        name: Name,
        number: Id,
        limit: Limit = 100,
        cursor: Cursor = None,
        from_at: FromAt = None,
        to_at: ToAt = None,
    ) -> list[str]:
        return [namespace, name, str(number), str(limit), str(from_at), str(to_at)]

    with AppClient(app) as found:
        yield found


def test_the_window_is_the_last_day_unless_asked_otherwise(deps: AdminDeps) -> None:
    assert window(deps, None, None, 60) == Window(NOW - DAY, NOW)
    assert window(deps, NOW - HOUR, None, 60) == Window(NOW - HOUR, NOW)
    assert window(deps, None, NOW - HOUR, 60) == Window(NOW - HOUR - DAY, NOW - HOUR)
    assert window(deps, NOW - DAY, NOW - HOUR, 60) == Window(NOW - DAY, NOW - HOUR)
    assert window(deps, NOW, NOW, 60) == Window(NOW, NOW)


def test_a_window_that_ends_before_it_starts_is_refused(deps: AdminDeps) -> None:
    with pytest.raises(InvalidInput, match="must not be after"):
        window(deps, NOW + timedelta(seconds=1), None, 60)
    with pytest.raises(InvalidInput, match="must not be after"):
        window(deps, NOW, NOW - HOUR, 60)


@pytest.mark.parametrize("step_s", [1, 60, 300])
def test_a_window_holds_so_many_steps_and_no_more(deps: AdminDeps, step_s: int) -> None:
    most = timedelta(seconds=20_000 * step_s)
    assert window(deps, NOW - most, NOW, step_s).from_at == NOW - most
    with pytest.raises(InvalidInput, match=f"20000 steps of {step_s} s"):
        window(deps, NOW - most - timedelta(seconds=1), NOW, step_s)


def test_what_lies_within_the_bounds_is_read(client: AppClient) -> None:
    largest = 2**63 - 1
    path = f"/{'n' * 63}/{'m' * 253}/{largest}?limit=500&cursor={'c' * 500}"
    read = client.get(f"{path}&from_at=2026-01-05T12:00:00%2B02:00").json()
    assert read[2:] == [str(largest), "500", "2026-01-05 10:00:00+00:00", "None"]
    assert client.get("/n/m/1?limit=1").json()[2:4] == ["1", "1"]


@pytest.mark.parametrize(
    "path",
    [
        "/n/m/0",
        f"/n/m/{2**63}",
        f"/{'n' * 64}/m/1",
        f"/n/{'m' * 254}/1",
        "/n/m/1?limit=0",
        "/n/m/1?limit=501",
        f"/n/m/1?cursor={'c' * 501}",
        "/n/m/1?from_at=2026-01-05T12:00:00",
        "/n/m/1?to_at=1969-01-05T12:00:00Z",
    ],
)
def test_what_lies_outside_is_refused(client: AppClient, path: str) -> None:
    assert client.get(path).status_code == 422
