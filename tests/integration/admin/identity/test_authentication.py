"""Credentials that are not valid."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


def test_a_wrong_credential_is_refused_without_saying_why(
    anonymous: AppClient, keys: dict[Role, str], database: Engine
) -> None:
    token = keys[Role.ADMIN]
    wrong_secret = token[:-1] + ("a" if token[-1] != "a" else "b")
    unknown = "hk_0123456789_" + "x" * 43
    with database.begin() as connection:
        gone = create_key(connection, "gone", Role.ADMIN, NOW)
        late = create_key(connection, "late", Role.ADMIN, NOW - timedelta(1), NOW)
        connection.execute(
            text("UPDATE api_keys SET revoked_at = :at WHERE id = :id"),
            {"at": NOW, "id": gone.key_id},
        )
    wrong = {
        "": "no_credential",
        "hk_": "malformed_key",
        "hk_a_b": "malformed_key",
        "nonsense": "malformed_key",
        "hk_ä_" + "y" * 43: "malformed_key",
        unknown: "unknown_key",
        wrong_secret: "wrong_secret",
        gone.token: "revoked_key",
        late.token: "expired_key",
    }
    answers = {anonymous.get("/v1/workloads").text}
    for credential, reason in wrong.items():
        with capture_logs() as logs:
            header = {"Authorization": f"Bearer {credential}".encode()}
            answer = anonymous.get("/v1/workloads", headers=header)
        assert answer.status_code == 401, credential
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == 'Bearer realm="harmony"'
        answers.add(answer.text)
        (line,) = [line for line in logs if line["event"] == "auth_refused"]
        assert line["reason"] == reason, credential
        assert not credential or credential not in str(line)
    assert len(answers) == 1
