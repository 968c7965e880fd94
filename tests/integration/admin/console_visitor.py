"""People who have logged in to the console, and the decision that waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Engine, text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import BASE_URL, AppClient
from tests.integration.admin.seeded_fleet import NOW

OWN = "/workloads/llm-prod/llama-70b-chat"


class Person(AppClient):
    """A browser with a session."""

    def send(self, path: str, fields: dict[str, Any] | None = None) -> httpx.Response:
        """Send a form as a page of the console does."""
        return self.post(path, data=fields or {}, headers={"Origin": BASE_URL})

    def log_in(self, token: str) -> None:
        """Exchange a key for a session."""
        answer = self.send("/login", {"key": token, "next": "/"})
        assert answer.status_code == 303, answer.text
        self.headers["Accept"] = "text/html"


@contextmanager
def person(deps: AdminDeps, role: Role, namespaces: list[str] | None = None) -> Iterator[Person]:
    """Somebody with a role, in some namespaces or in the whole fleet."""
    with deps.engine.begin() as connection:
        token = create_key(connection, f"{role} at work", role, NOW, None, namespaces).token
    with Person(make_app(deps)) as found:
        found.log_in(token)
        yield found


def wait_for_approval(database: Engine) -> int:
    """The newest decision of sdxl-turbo, in mode Approval, asks for two replicas more."""
    with database.begin() as connection:
        decision = connection.execute(
            text(
                "SELECT d.id FROM decisions d JOIN workloads w ON w.id = d.workload_id "
                "WHERE w.name = 'sdxl-turbo' ORDER BY d.origin_at DESC LIMIT 1"
            )
        ).scalar_one()
        connection.execute(
            text(
                "UPDATE decisions SET desired_replicas = current_replicas + 2, direction = 'up', "
                "reason = 'scale_up_risk', cost_delta_usd_per_h = 3.2, decided_at = :at "
                "WHERE id = :id"
            ),
            {"id": decision, "at": NOW},
        )
    return int(decision)


def audited(database: Engine) -> list[tuple[str, str, str]]:
    """Actions of the audit log but for logins, oldest first: actor, action, object."""
    statement = text(
        "SELECT actor, action, object FROM audit WHERE action <> 'session.open' ORDER BY id"
    )
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(statement)]
