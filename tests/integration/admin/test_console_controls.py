"""Policies, schedules, freezes and keys in the console: what is shown, refused, said, audited."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from services.admin.service import AdminDeps
from services.kernel.security import Role
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import OWN, Person, audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
KEY = "llm-prod/llama-70b-chat"


def hidden(page: str, name: str) -> str:
    """Value of a hidden field."""
    found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return html.unescape(found.group(1))


def beside(answer: httpx.Response, name: str) -> str:
    """What stands beside a field, which says so to those who do not see it."""
    assert answer.status_code == 422, answer.text
    found = re.search(rf'id="e-{name}">([^<]*)<', answer.text)
    assert found is not None, f"nothing beside {name}: {answer.text}"
    assert f'aria-describedby="e-{name}"' in answer.text or name == "days"
    return html.unescape(found.group(1))


def open_form(human: Person, path: str, **fields: Any) -> dict[str, Any]:
    """The fields of a form as a browser would send them, with changes."""
    return {"if_match": hidden(human.get(path).text, "if_match")} | fields


def stored(database: Engine) -> dict[str, Any]:
    with database.connect() as connection:
        found = connection.execute(text("SELECT body FROM workload_controls")).scalar()
    return dict(found or {})


def test_a_policy_is_changed_after_it_was_said_what_that_means(
    deps: AdminDeps, database: Engine
) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        page = human.get(path).text
        for words in ("Nothing has been set here", "In force: 24", "In force: 1 %", "SLA class"):
            assert words in page, words
        form = open_form(
            human, path, mode="Approval", min_replicas="30", max_replicas="40", epsilon="0.5"
        )
        asked = human.send(path, form)
        assert asked.status_code == 200
        for words in (
            "Change the policy of llama-70b-chat?",
            "A change waits until somebody approves it, from the operator&#39;s next pass on.",
            "Stricter: more replicas are kept.",
            "the next decision asks for 30 at least",
            "<td>1 %</td><td><strong>0.5 %</strong></td>",
        ):
            assert words in asked.text, words
        assert stored(database) == {}, "nothing has happened yet"
        kept = {name: hidden(asked.text, name) for name in (*form, "price_usd_per_gpu_hour")}
        assert kept == form | {"price_usd_per_gpu_hour": ""}
        again = human.send(path, kept | {"again": "true"})
        assert 'name="min_replicas" value="30"' in again.text
        done = human.send(path, kept | {"confirmed": "true"})
        assert (done.status_code, done.headers["location"]) == (303, f"{path}?done=policy")
        after = human.get(done.headers["location"]).text
        for words in ("Saved. The operator", "Not in force yet", "to 30 soon", "operator at work"):
            assert words in after, words
    policy = stored(database)["policy"]
    assert (policy["mode"], policy["min_replicas"], policy["epsilon"]) == ("Approval", 30, 0.005)
    assert [action for _, action, _ in audited(database)] == ["policy.update"]


def test_an_emptied_field_goes_back_to_the_object(deps: AdminDeps, database: Engine) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR) as human:
        human.send(path, open_form(human, path, max_replicas="40", confirmed="true"))
        assert 'name="max_replicas" value="40"' in human.get(path).text
        asked = human.send(path, open_form(human, path, epsilon="2,5"))
        assert "the GPUAutoscaler&#39;s own" in asked.text
        assert "Looser: fewer replicas are kept." in asked.text
        human.send(path, open_form(human, path, epsilon="2,5", confirmed="true"))
    policy = stored(database)["policy"]
    assert (policy["max_replicas"], policy["epsilon"]) == (None, 0.025)


@pytest.mark.parametrize(
    ("fields", "name", "words"),
    [
        ({"min_replicas": "-3"}, "min_replicas", "-3: must be greater than or equal to 0"),
        ({"max_replicas": "many"}, "max_replicas", "many: must be a valid integer"),
        ({"max_replicas": "100001"}, "max_replicas", "100001: must be less than or equal"),
        ({"min_replicas": "30"}, "min_replicas", "min_replicas=30 must be <= max_replicas=24"),
        ({"epsilon": "100"}, "epsilon", "100 %: must be a percentage over 0 and under 100"),
        ({"epsilon": "nan"}, "epsilon", "must be a percentage"),
        ({"epsilon": "<b>"}, "epsilon", "<b>: must be a percentage"),
        ({"price_usd_per_gpu_hour": "inf"}, "price_usd_per_gpu_hour", "finite"),
        ({"mode": "Yolo"}, "mode", "Yolo: must be 'Advisory', 'Approval' or 'Auto'"),
    ],
)
def test_a_policy_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, fields: dict[str, str], name: str, words: str
) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR) as human:
        for more in ({}, {"confirmed": "true"}):
            answer = human.send(
                path, open_form(human, path, fallback_replicas="7", **fields, **more)
            )
            assert words in beside(answer, name)
            assert 'name="fallback_replicas" value="7"' in answer.text, "what was entered is kept"
        assert "<b>" not in answer.text
        same = human.send(path, open_form(human, path))
        assert (same.status_code, "Nothing would change" in same.text) == (422, True)
    assert stored(database) == {}


def test_who_was_slower_is_told_who_was_faster(deps: AdminDeps, database: Engine) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR) as slow, person(deps, Role.APPROVER) as fast:
        form = open_form(slow, path, max_replicas="30")
        schedule = open_form(
            slow, f"{OWN}/schedules", schedule="s", start_time="01:00", end_time="02:00"
        )
        fast.send(f"{OWN}/pause", {"lasting": "3600"})
        for confirmed in ({}, {"confirmed": "true"}):
            late = slow.send(path, form | confirmed)
            assert late.status_code == 412
            for words in (
                f"Somebody else has changed what is set for {KEY}",
                "(approver at work (",
                'name="max_replicas" value="30"',
                f'name="if_match" value="{html.escape(hidden(fast.get(path).text, "if_match"))}"',
            ):
                assert words.replace("&quot;", "&#34;") in late.text, words
        late = slow.send(f"{OWN}/schedules", schedule | {"days": "1", "freeze": "Both"})
        assert (late.status_code, "Somebody else has changed" in late.text) == (412, True)
        assert 'name="schedule" value="s"' in late.text
        now = slow.send(path, form | {"if_match": hidden(late.text, "if_match")})
        assert "Make these changes" in now.text
        bare = slow.send(path, {"max_replicas": "30", "confirmed": "true"})
        assert bare.status_code == 428
    assert [action for _, action, _ in audited(database)] == ["pause.set"]


def test_who_may_only_look_sees_values_and_why(deps: AdminDeps) -> None:
    with person(deps, Role.VIEWER, ["llm-prod"]) as human:
        for path, words in (
            (f"{OWN}/policy", "needs the role operator in llm-prod"),
            (f"{OWN}/schedules", "needs the role operator in llm-prod"),
            ("/freezes", "need the role operator"),
        ):
            page = human.get(path)
            assert page.status_code == 200
            assert words in page.text.replace("needs", "need") or words in page.text, path
            assert page.text.count("<form") == 1, "to log out"
        assert "no layer is laid over them" in human.get(f"{OWN}/policy").text
        assert human.get("/keys").status_code == 403
        assert 'href="/keys"' not in human.get("/freezes").text
        for path in ("/workloads/diffusion/sdxl-turbo/policy", "/workloads/llm-prod/none/policy"):
            assert human.get(path).status_code in {403, 404}, path


def test_a_workload_made_over_rest_is_read_only_and_says_why(
    deps: AdminDeps, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET managed_by = 'api' WHERE name = 'llama-70b-chat'")
        )
    with person(deps, Role.OPERATOR) as human:
        for path in (f"{OWN}/policy", f"{OWN}/schedules"):
            page = human.get(path).text
            assert "made over REST and its decisions are advice" in page, path
            assert f"PUT /v1/workloads/{KEY}" in page, path
            assert page.count("<form") == 1, f"{path}: only the one to log out"
        page = human.get(OWN).text
        assert "Made over REST" in page
        assert f'action="{OWN}/pause"' not in page
        refused = human.send(f"{OWN}/policy", {"max_replicas": "9", "confirmed": "true"})
        assert (refused.status_code, "was made over REST" in refused.text) == (409, True)
    assert audited(database) == []


SCHEDULE = {
    "schedule": "business-hours",
    "timezone": "Europe/Berlin",
    "start_time": "08:00",
    "end_time": "18:00",
    "min_replicas": "4",
    "days": ["0", "1", "2", "3", "4"],
}


def test_schedules_are_added_changed_removed_and_given_back(
    deps: AdminDeps, database: Engine
) -> None:
    path = f"{OWN}/schedules"
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        assert "The GPUAutoscaler has none." in human.get(path).text
        done = human.send(path, open_form(human, path, **SCHEDULE))
        assert done.headers["location"] == f"{path}?done=schedule"
        page = human.get(path).text
        for words in ("Mon to Fri, 08:00 to 18:00", "Europe/Berlin", "in place of the GPUAuto"):
            assert words in page, words
        edit = human.get(f"{path}?edit=business-hours").text
        assert 'name="replaces" value="business-hours"' in edit
        assert 'name="start_time" value="08:00"' in edit
        assert edit.count("checked") == 5
        human.send(
            path,
            open_form(human, path, **SCHEDULE | {"replaces": "business-hours", "schedule": "day"}),
        )
        night = {"schedule": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "Both"}
        human.send(path, open_form(human, path, **night, days=["5", "6"]))
        page = human.get(path).text
        assert "business-hours" not in page
        assert "Sat, Sun, 22:00 to 06:00" in page
        assert "past midnight" in page
        assert [one["name"] for one in stored(database)["schedules"]] == ["day", "night"]
        gone = human.send(f"{path}/remove", open_form(human, path, schedule="day"))
        assert gone.headers["location"] == f"{path}?done=unscheduled"
        twice = human.send(f"{path}/remove", open_form(human, path, schedule="day"))
        assert (twice.status_code, "does not exist any more" in twice.text) == (404, True)
        human.send(f"{path}/reset", open_form(human, path))
        assert "The GPUAutoscaler has none." in human.get(path).text
    assert [action for _, action, _ in audited(database)] == [
        *["schedules.replace"] * 4,
        "schedules.reset",
    ]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"schedule": "a b"}, "schedule", "a b: must match"),
        ({"schedule": ""}, "schedule", "nothing: must have at least 1"),
        ({"timezone": "Mars/Base"}, "timezone", "Mars/Base: must be an IANA name"),
        ({"start_time": "8"}, "start_time", "8: must match"),
        ({"end_time": "08:00"}, "end_time", "end_time=08:00 must differ from start_time"),
        ({"min_replicas": "9", "max_replicas": "5"}, "min_replicas", "must be <= max_replicas=5"),
        ({"min_replicas": "few"}, "min_replicas", "few: must be a valid integer"),
        ({"days": []}, "days", "at least 1"),
        ({"days": ["7"]}, "days", "7: must be less than or equal to 6"),
    ],
)
def test_a_schedule_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, changes: dict[str, Any], name: str, words: str
) -> None:
    path = f"{OWN}/schedules"
    with person(deps, Role.OPERATOR) as human:
        answer = human.send(path, open_form(human, path, **SCHEDULE | changes))
        assert words in beside(answer, name)
        none = {"min_replicas": ""}
        answer = human.send(path, open_form(human, path, **SCHEDULE | none))
        assert (answer.status_code, "one of min_replicas" in answer.text) == (422, True)
    assert stored(database) == {}


def test_two_schedules_have_two_names(deps: AdminDeps) -> None:
    path = f"{OWN}/schedules"
    with person(deps, Role.OPERATOR) as human:
        human.send(path, open_form(human, path, **SCHEDULE))
        answer = human.send(path, open_form(human, path, **SCHEDULE))
        assert "business-hours: is the name of another" in beside(answer, "schedule")


def test_freezes_are_made_and_ended(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR) as human:
        assert "No freeze has been made yet" in human.get("/freezes").text
        for scope in (KEY, "diffusion/", "*"):
            form = {"scope": scope, "until_at": "2026-01-08T08:30", "reason": "load <test>"}
            done = human.send("/freezes", form)
            assert done.headers["location"] == "/freezes?done=frozen", done.text
        later = {"scope": KEY, "from_at": "2026-01-10T00:00", "direction": "ScaleDown"}
        human.send("/freezes", later | {"until_at": "2026-01-11T00:00"})
        page = human.get("/freezes").text
        for words in (
            "all of diffusion",
            "the whole fleet",
            "no decreases",
            "To come",
            "8 Jan 08:30",
            "load &lt;test&gt;",
        ):
            assert words in page, words
        ids = re.findall(r'action="/freezes/(\d+)/lift"', page)
        assert len(ids) == 4
        assert human.send(f"/freezes/{ids[0]}/lift").headers["location"] == "/freezes?done=lifted"
        assert "Ended early" in human.get("/freezes").text
        twice = human.send(f"/freezes/{ids[0]}/lift")
        assert (twice.status_code, "has ended already" in twice.text) == (409, True)
    assert [action for _, action, _ in audited(database)] == [
        *["freeze.create"] * 4,
        "freeze.lift",
    ]


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        ({}, "scope", "must be a workload"),
        ({"scope": "Prod!/", "until_at": "2026-02-01T00:00"}, "scope", "Prod!: must match"),
        ({"scope": KEY}, "until_at", "must be a time in UTC"),
        ({"scope": KEY, "until_at": "soon"}, "until_at", "soon: must be a time in UTC"),
        ({"scope": KEY, "until_at": "2026-01-05T00:00"}, "until_at", "must be after now"),
        (
            {"scope": KEY, "from_at": "2026-02-02T00:00", "until_at": "2026-02-01T00:00"},
            "until_at",
            "must be after from_at",
        ),
        (
            {"scope": KEY, "until_at": "2026-02-01T00:00", "direction": "Up"},
            "direction",
            "Up: must be",
        ),
    ],
)
def test_a_freeze_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, form: dict[str, str], name: str, words: str
) -> None:
    with person(deps, Role.OPERATOR) as human:
        assert words in beside(human.send("/freezes", form), name)
    assert audited(database) == []


def test_a_freeze_ends_at_the_namespaces_of_its_maker(deps: AdminDeps, database: Engine) -> None:
    until = {"until_at": "2026-01-08T08:30"}
    with person(deps, Role.OPERATOR) as all_, person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        all_.send("/freezes", until | {"scope": "*"})
        assert human.send("/freezes", until | {"scope": "*"}).status_code == 403
        assert human.send("/freezes", until | {"scope": "diffusion/"}).status_code == 404
        assert human.send("/freezes", until | {"scope": "llm-prod/"}).status_code == 303
        page = human.get("/freezes").text
        assert "the whole fleet" in page
        assert len(re.findall("/lift", page)) == 1, "its own alone"
        assert "or * for the whole fleet" not in page
        assert "diffusion" not in page
    assert [action for _, action, _ in audited(database)] == ["freeze.create"] * 2


def test_a_key_is_made_shown_once_rotated_and_revoked(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.ADMIN) as human:
        form = {"key_name": "grafana <1>", "role": "viewer", "namespaces": "llm-prod, diffusion"}
        made = human.send("/keys", form | {"expires_at": "2026-02-01T00:00"})
        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"
        (token,) = re.findall(r'value="(hk_[^"]+)"', made.text)
        assert "grafana &lt;1&gt;" in made.text
        assert "stored nowhere" in made.text
        who = human.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"}).json()
        assert [grant["namespace"] for grant in who["grants"]] == ["diffusion", "llm-prod"]
        page = human.get("/keys").text
        assert token not in page
        assert "the one you are using" in page
        key_id = re.findall(r'action="/keys/(\d+)/rotate"', page)[0]
        rotated = human.send(f"/keys/{key_id}/rotate", {"grace_s": "0"})
        (second,) = re.findall(r'value="(hk_[^"]+)"', rotated.text)
        assert second != token
        assert "Replaced" in human.get("/keys").text
        again = human.send(f"/keys/{key_id}/rotate", {"grace_s": "0"})
        assert again.status_code in {404, 409}
        newest = re.findall(r'action="/keys/(\d+)/revoke"', human.get("/keys").text)[0]
        done = human.send(f"/keys/{newest}/revoke")
        assert done.headers["location"] == "/keys?done=revoked"
        assert "Revoked" in human.get("/keys").text
        refused = human.get("/v1/whoami", headers={"Authorization": f"Bearer {second}"})
        assert refused.status_code == 401
    actions = [action for _, action, _ in audited(database)]
    assert actions == ["key.create", "key.rotate", "key.create", "key.revoke"]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"key_name": ""}, "key_name", "must have at least 1"),
        ({"role": "root"}, "role", "root: must be 'viewer'"),
        ({"namespaces": "Team A"}, "namespaces", "Team A: must match"),
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "must be later than now"),
        ({"expires_at": "soon"}, "expires_at", "soon: must be a time"),
    ],
)
def test_a_key_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, changes: dict[str, str], name: str, words: str
) -> None:
    with person(deps, Role.ADMIN) as human:
        form = {"key_name": "x", "role": "viewer"} | changes
        assert words in beside(human.send("/keys", form), name)
    assert audited(database) == []


def test_an_admin_of_a_namespace_makes_keys_for_it_alone(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as all_, person(deps, Role.ADMIN, ["llm-prod"]) as human:
        page = human.get("/keys").text
        assert "admin at work" in page
        assert "whole fleet" not in page
        form = {"key_name": "x", "role": "viewer"}
        assert human.send("/keys", form).status_code == 403
        assert human.send("/keys", form | {"namespaces": "diffusion"}).status_code == 403
        assert human.send("/keys", form | {"namespaces": "llm-prod"}).status_code == 200
        foreign = re.findall(r'action="/keys/(\d+)/revoke"', all_.get("/keys").text)[-1]
        assert human.send(f"/keys/{foreign}/revoke").status_code == 404
        assert human.send(f"/keys/{foreign}/rotate").status_code == 404
    for role in (Role.VIEWER, Role.APPROVER):
        with person(deps, role) as human:
            assert human.get("/keys").status_code == 403
            assert human.send("/keys", {"key_name": "x", "role": "viewer"}).status_code == 403
    with person(deps, Role.ADMIN) as human:
        evil = {"Origin": "http://evil.test"}
        assert human.post("/keys", data={"key_name": "x"}, headers=evil).status_code == 403
        assert human.post("/freezes", data={"scope": "*"}, headers=evil).status_code == 403
    assert BASE_URL not in evil.values()
