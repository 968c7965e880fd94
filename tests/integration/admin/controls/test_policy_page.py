"""Policies in the console: what is shown, refused, said, audited."""

from __future__ import annotations

import html

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.console_forms import beside, hidden, open_form, stored
from tests.integration.admin.console_visitor import OWN, audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
KEY = "llm-prod/llama-70b-chat"


def test_a_policy_is_changed_after_it_was_said_what_that_means(
    deps: AdminDeps, database: Engine
) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR) as human:
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


def test_a_field_that_does_not_fit_the_object_is_said_to_be_left_out(
    deps: AdminDeps, database: Engine
) -> None:
    body = '{"policy": {"max_replicas": 1, "epsilon": 0.01}}'
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workload_controls (workload_id, body, version, updated_by, "
                "updated_at) SELECT id, CAST(:body AS jsonb), 1, 'ada', now() FROM workloads "
                "WHERE name = 'llama-70b-chat'"
            ),
            {"body": body},
        )
    with person(deps, Role.OPERATOR) as human:
        page = html.unescape(human.get(f"{OWN}/policy").text)
    for words in (
        "Not all in force",
        "Set here and left out: min_replicas=2 must be <= max_replicas=1;",
        "set here to 1, left out",
    ):
        assert words in page, words


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
        ({"min_replicas": "-3"}, "min_replicas", "-3: must be at least 0"),
        ({"max_replicas": "many"}, "max_replicas", "many: must be a whole number"),
        ({"max_replicas": "100001"}, "max_replicas", "100001: must be at most"),
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


@pytest.mark.parametrize("way_back", [{"min_replicas": "many"}, {"again": "true"}])
def test_who_comes_back_to_the_form_is_told_too_who_was_faster(
    deps: AdminDeps, database: Engine, way_back: dict[str, str]
) -> None:
    """After a slip, or from what would change: the form rested on what nobody had been shown."""
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR) as slow, person(deps, Role.APPROVER) as fast:
        form = open_form(slow, path, max_replicas="30")
        theirs = open_form(fast, path, fallback_replicas="3", confirmed="true")
        assert fast.send(path, theirs).status_code == 303
        back = slow.send(path, form | way_back)
        late = slow.send(path, form | {"if_match": hidden(back.text, "if_match")})
        assert (late.status_code, "(approver at work (" in late.text) == (412, True)
        now = slow.send(path, form | {"if_match": hidden(late.text, "if_match")})
        assert "Make these changes" in now.text
    assert stored(database)["policy"]["fallback_replicas"] == 3


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


def test_over_a_workload_that_was_removed_nothing_is_set(deps: AdminDeps, database: Engine) -> None:
    """Another GPUAutoscaler of its name would begin with nothing of it."""
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET is_active = false WHERE name = 'llama-70b-chat'")
        )
    with person(deps, Role.OPERATOR) as human:
        for path in (f"{OWN}/policy", f"{OWN}/schedules"):
            page = human.get(path).text
            assert "The GPUAutoscaler was removed" in page, path
            assert page.count("<form") == 1, f"{path}: only the one to log out"
        assert f'action="{OWN}/pause"' not in human.get(OWN).text
        for path, form in (
            (f"{OWN}/policy", {"max_replicas": "9", "confirmed": "true"}),
            (f"{OWN}/pause", {"direction": "Both"}),
        ):
            refused = human.send(path, form)
            assert (refused.status_code, "set a freeze" in refused.text) == (409, True), path
    assert audited(database) == []
    assert stored(database) == {}


def test_what_would_take_gpus_from_others_is_refused_before_it_is_confirmed(
    deps: AdminDeps, database: Engine
) -> None:
    path = f"{OWN}/policy"
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        asked = human.send(path, open_form(human, path, min_replicas="20"))
    assert asked.status_code == 403
    assert "min_replicas=20 must be &lt;= 2 for a key of some namespaces" in asked.text
    assert stored(database) == {}


@pytest.mark.parametrize(
    ("kind", "promised"),
    [
        ("TimeFraction", "time out of SLA at most"),
        ("DemandFraction", "requests out of SLA at most"),
        ("AnyInWindow", "windows with any moment out of SLA at most"),
    ],
)
def test_the_promise_is_named_by_what_it_is_about(
    deps: AdminDeps, database: Engine, kind: str, promised: str
) -> None:
    statement = text(
        "UPDATE workloads SET spec = jsonb_set(spec, '{sla}', "
        "coalesce(spec -> 'sla', '{}') || jsonb_build_object('kind', CAST(:kind AS text)))"
    )
    with database.begin() as connection:
        connection.execute(statement, {"kind": kind})
    with person(deps, Role.OPERATOR) as human:
        page = human.get(f"{OWN}/policy").text
        asked = human.send(f"{OWN}/policy", open_form(human, f"{OWN}/policy", epsilon="0.5")).text
    assert f"Promise: {promised}" in page
    assert f"Promise, % of {promised}" in page
    assert f"Promise: {promised}" in asked
