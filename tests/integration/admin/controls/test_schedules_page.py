"""Schedules in the console: what is shown, refused, said, audited."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.console_forms import beside, hidden, open_form, stored
from tests.integration.admin.console_visitor import OWN, audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


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
    with person(deps, Role.OPERATOR) as human:
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
        ({"schedule": ""}, "schedule", "nothing: must not be empty"),
        ({"timezone": "Mars/Base"}, "timezone", "Mars/Base: must be an IANA name"),
        ({"start_time": "8"}, "start_time", "8: must match"),
        ({"end_time": "08:00"}, "end_time", "end_time=08:00 must differ from start_time"),
        ({"min_replicas": "9", "max_replicas": "5"}, "min_replicas", "must be <= max_replicas=5"),
        ({"min_replicas": "few"}, "min_replicas", "few: must be a whole number"),
        ({"days": []}, "days", "must not be empty"),
        ({"days": ["7"]}, "days", "7: must be at most 6"),
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


def test_a_slip_in_a_form_does_not_undo_what_somebody_else_has_changed(
    deps: AdminDeps, database: Engine
) -> None:
    """The page that came back with the error rested on what nobody had been shown."""
    path = f"{OWN}/schedules"
    with person(deps, Role.OPERATOR) as slow, person(deps, Role.APPROVER) as fast:
        slow.send(path, open_form(slow, path, **SCHEDULE))
        edit = SCHEDULE | {"replaces": SCHEDULE["schedule"]}
        mine, theirs = (open_form(one, path, **edit) for one in (slow, fast))
        slip = slow.send(path, mine | {"start_time": "8 o'clock"})
        assert slip.status_code == 422
        fast.send(path, theirs | {"max_replicas": "7"})
        slip = slow.send(path, mine | {"start_time": "8 o'clock"})
        assert slip.status_code == 422
        form = slip.text[slip.text.index('id="form"') :]
        late = slow.send(path, mine | {"if_match": hidden(form, "if_match")})
        assert (late.status_code, "Somebody else has changed" in late.text) == (412, True)
        assert [one["max_replicas"] for one in stored(database)["schedules"]] == [7]
        form = late.text[late.text.index('id="form"') :]
        done = slow.send(path, mine | {"if_match": hidden(form, "if_match")})
        assert done.status_code == 303


def test_schedules_of_an_object_may_have_names_that_no_form_takes(
    deps: AdminDeps, database: Engine, admin: AppClient
) -> None:
    """Every form of the page answered 500, and what was read could not be sent back over REST."""
    path, name = f"{OWN}/schedules", "Büro hours"
    give_the_object(database, name)
    found = admin.get(f"/v1{path}")
    sent = {"json": found.json(), "headers": {"If-Match": found.headers["etag"]}}
    assert admin.request("PUT", f"/v1{path}", **sent).status_code == 200
    assert stored(database) == {}, "as it stands it is not made an override"
    renamed = found.json() | {"schedules": [found.json()["schedules"][0] | {"name": "office"}]}
    with person(deps, Role.OPERATOR) as human:
        done = human.send(path, open_form(human, path, **SCHEDULE))
        assert done.headers["location"] == f"{path}?done=schedule"
        assert [one["name"] for one in stored(database)["schedules"]] == [name, "business-hours"]
        edit = SCHEDULE | {"schedule": name, "replaces": name, "min_replicas": "6"}
        assert human.send(path, open_form(human, path, **edit)).status_code == 303
        anew = human.send(path, open_form(human, path, **SCHEDULE | {"schedule": "Büro two"}))
        assert "Büro two: must match" in beside(anew, "schedule")
        gone = human.send(f"{path}/remove", open_form(human, path, schedule=name))
        assert gone.status_code == 303
    headers = {"If-Match": "*"}
    renamed |= {"source": "api", "version": admin.get(f"/v1{path}").json()["version"]}
    assert admin.request("PUT", f"/v1{path}", json=renamed, headers=headers).status_code == 200
    assert [one["name"] for one in stored(database)["schedules"]] == ["office"]


def give_the_object(database: Engine, name: str) -> None:
    """A schedule of this name, in the workload's own spec."""
    one = {"name": name, "start_time": "08:00", "end_time": "18:00", "min_replicas": 4}
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec || CAST(:new AS jsonb) WHERE name = :name"),
            {"new": json.dumps({"schedules": [one]}), "name": OWN.rpartition("/")[2]},
        )
