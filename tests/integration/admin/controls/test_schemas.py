"""Requests about policies and schedules that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA, SHIFT, patch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


CRON = {"start_time": "", "end_time": "", "start": "0 0 * * *", "end": "30 22 * * *"}


def test_a_schedule_by_cron_is_taken_shown_and_kept(admin: AppClient) -> None:
    body = {"schedules": [{name: value for name, value in (SHIFT | CRON).items() if value}]}
    put = admin.request("PUT", f"{LLAMA}/schedules", json=body, headers={"If-Match": "*"})
    assert put.status_code == 200, put.text
    (shown,) = admin.get(f"{LLAMA}/schedules").json()["schedules"]
    assert (shown["start"], shown["end"]) == (CRON["start"], CRON["end"])
    assert (shown["start_time"], shown["end_time"]) == ("", "")
    assert isinstance(shown["is_in_force"], bool)


def test_a_wrong_field_is_pointed_at(admin: AppClient) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"max_replicas": 0}, "/max_replicas", "greater_than_equal"),
        ({"epsilon": 1}, "/epsilon", "less_than"),
        ({"mode": "Manual"}, "/mode", "literal_error"),
        ({"replicas": 3}, "/replicas", "extra_forbidden"),
    ]
    for body, pointer, rule in cases:
        answer = patch(admin, body, **{"If-Match": "*"})
        (finding,) = answer.json()["errors"]
        assert (answer.status_code, finding["pointer"], finding["rule"]) == (422, pointer, rule)
        assert finding["value"] == repr(next(iter(body.values())))


def test_of_two_values_of_a_field_none_is_taken(admin: AppClient) -> None:
    before = admin.get(f"{LLAMA}/policy").json()
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    content = b'{"max_replicas": 9, "max_replicas": 90}'
    answer = admin.request("PATCH", f"{LLAMA}/policy", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["detail"] == "body: key 'max_replicas' is given 2 times; give it once"
    assert admin.get(f"{LLAMA}/policy").json() == before


def test_a_wrong_schedule_is_pointed_at(admin: AppClient) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"timezone": "Mars/Olympus"}, "/schedules/0/timezone"),
        ({"timezone": "localtime"}, "/schedules/0/timezone"),
        ({"min_replicas": 60_000, "max_replicas": None}, "/schedules/0/min_replicas"),
        ({"start_time": "24:00"}, "/schedules/0/start_time"),
        ({"days_of_week": [7]}, "/schedules/0/days_of_week/0"),
        ({"min_replicas": 9, "max_replicas": 3}, "/schedules/0"),
        ({"end_time": "08:00"}, "/schedules/0"),
        ({"min_replicas": None}, "/schedules/0"),
        ({"start": "0 7 * * *"}, "/schedules/0"),
        ({"start_time": "", "end_time": "", "start": "0 7 * * *"}, "/schedules/0"),
        (CRON | {"start": "0 7 * *"}, "/schedules/0/start"),
        (CRON | {"end": "0 7 * * 8"}, "/schedules/0/end"),
        (CRON | {"end": "0 7 31 4 *"}, "/schedules/0/end"),
        (CRON | {"end": "0 0 * * *"}, "/schedules/0"),
    ]
    for change, pointer in cases:
        body = {"schedules": [SHIFT | change]}
        headers = {"If-Match": "*"}
        answer = admin.request("PUT", f"{LLAMA}/schedules", json=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
