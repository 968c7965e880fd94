"""Backtests and frontiers in the console: asked for, followed, read, cancelled."""

from __future__ import annotations

import gzip
import re
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.admin.workloads import service as workloads
from services.kernel import jobs
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role
from tests.integration.admin.console_visitor import audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

KEY = "llm-prod/llama-70b-chat"
FORM: dict[str, Any] = {
    "workloads": f"{KEY}, llm-prod/mixtral-agents",
    "replay_hours": "6",
    "epsilons": ["0.01", "0.05"],
    "policies": ["hpa"],
    "forecaster": "simple",
}


def _points(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"setting": f"s{i}", "violation_rate": rate, "cost_usd": cost, "hours_out_of_sla": rate * 6}
        for i, (rate, cost) in enumerate(pairs)
    ]


RESULT: dict[str, Any] = {
    "simulated_hours": 6.0,
    "runs": [
        {
            "epsilon": 0.01,
            "verdict": "Forecasting paid: 12.0% cheaper than hpa.",
            "at_equal_violation": {"verdict": "At equal violation Harmony is cheaper than hpa."},
            "policies": {
                "hpa": {"cost_usd": 120.0, "violation_rate": 0.02, "setting": "target 60 %"},
                "harmony": {"cost_usd": 105.0, "violation_rate": 0.008, "setting": "not tuned"},
            },
        }
    ],
    "frontiers": {
        "harmony": _points((0.0, 130.0), (0.004, 110.0), (0.004, 112.0), (0.03, 90.0)),
        "hpa": _points((0.002, 140.0), (0.02, 120.0), (0.3, 40.0)),
    },
    "recommended": {"epsilon": 0.004, "cost_usd": 110.0, "rule": "knee of the frontier"},
    "advice": "Recommended promise: 0.40% of time out of SLA.",
}


def succeed(database: Engine, operation_id: int) -> None:
    """Leave what a worker leaves at the end."""
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE operations SET status = 'succeeded', progress = 1, message = 'done', "
                "result = CAST(:result AS jsonb), finished_at = created_at WHERE id = :id"
            ),
            {"id": operation_id, "result": orjson.dumps(RESULT).decode()},
        )


def test_a_backtest_from_its_form_to_its_verdict(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        assert f'<option value="{KEY}">' in human.get("/backtests").text
        assert f'value="{KEY}"' in human.get(f"/backtests?workload={KEY}").text
        asked = human.send("/backtests", FORM)
        assert asked.status_code == 303, asked.text
        path = asked.headers["location"]
        operation = int(path.rpartition("/")[2])
        sender = deps.sender
        assert isinstance(sender, RecordingSender)
        assert [(job.name, job.payload) for job in sender.sent] == [
            (jobs.BACKTEST, {"operation_id": operation})
        ]
        page = human.get(path).text
        assert f'hx-get="{path}/progress"' in page
        assert "Queued" in page
        part = human.get(f"{path}/progress", headers={"HX-Request": "true"})
        assert "hx-refresh" not in part.headers
        succeed(database, operation)
        assert human.get(f"{path}/progress").headers["hx-refresh"] == "true"
        page = human.get(path).text
        for words in (
            "At a promise of 1 %",
            "As deployed: Forecasting paid: 12.0% cheaper than HPA.",
            "At equal violation Harmony is cheaper than HPA.",
            "Recommended promise: 0.40%",
            "over the promise",
            f'data-api="/v1/frontier?backtest_id={operation}"',
            "frontier.js",
        ):
            assert words in page, words
        assert "every 2s" not in page
        assert page.index("Harmony</th>") < page.index("HPA</th>"), "cheapest first"
    assert [action for _, action, _ in audited(database)] == ["backtest.submit"]


def test_workloads_beyond_those_of_the_list_are_named(
    deps: AdminDeps, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those after the first 500 could be asked for by nobody, and nothing said so."""
    with person(deps, Role.OPERATOR) as human:
        assert "Others, by name" not in human.get("/backtests").text
        monkeypatch.setattr(workloads, "_MAX_NAMED", 1)
        page = human.get("/backtests").text
        assert "The list has the first 1 by name only" in page
        assert KEY not in page
        chosen = {"workloads": ["diffusion/sdxl-turbo", f"{KEY}, llm-prod/mixtral-agents"]}
        asked = human.send("/backtests", FORM | chosen)
        assert asked.status_code == 303, asked.text
        operation = int(asked.headers["location"].rpartition("/")[2])
        succeed(database, operation)
        assert f'value="{KEY}"' in human.get(f"/frontier?workload={KEY}").text
        assert f"backtest {operation}</a>" in human.get(f"/frontier?workload={KEY}").text
    with database.connect() as connection:
        params = connection.execute(text("SELECT params FROM operations")).scalar_one()
    assert params["workloads"] == ["diffusion/sdxl-turbo", KEY, "llm-prod/mixtral-agents"]


def test_a_frontier_says_what_each_promise_costs(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR) as human:
        empty = human.get(f"/frontier?workload={KEY}").text
        assert f"No backtest over {KEY} has succeeded yet" in empty
        operation = int(human.send("/backtests", FORM).headers["location"].rpartition("/")[2])
        succeed(database, operation)
        asked = f"/v1/frontier?backtest_id={operation}&workload="
        assert human.get(f"{asked}{KEY}").status_code == 200
        other = human.get(f"{asked}llm-prod/none")
        assert (other.status_code, "is not of llm-prod/none" in other.text) == (404, True)
        page = human.get(f"/frontier?workload={KEY}").text
        row = re.search(r"Harmony</th>(.*?)</tr>", page)
        assert row is not None
        costs = re.findall(r">([^<]+)</td>", row.group(1))
        assert costs == ["$130", "$110", "$110", "$110", "$90.00"]
        row = re.search(r"HPA</th>(.*?)</tr>", page)
        assert row is not None
        assert re.findall(r">([^<]+)</td>", row.group(1)) == ["–", "$140", "$140", "$120", "$120"]
        assert "$112" not in page, "a setting that another one beats"
        assert "$40" not in page, "a rate that nobody promises"
    with person(deps, Role.VIEWER, ["diffusion"]) as stranger:
        assert "has succeeded yet" in stranger.get("/frontier").text
        hidden = stranger.get(f"{asked}diffusion/none")
        none = stranger.get(f"/v1/frontier?backtest_id={operation + 1}&workload=diffusion/none")
        told = f"backtest {operation} does not exist"
        assert (hidden.status_code, hidden.json()["detail"]) == (404, told)
        assert none.json()["detail"] == told.replace(str(operation), str(operation + 1))
        assert stranger.get(f"/backtests/{operation}").status_code == 404
        assert stranger.get(f"/backtests/{operation}/progress").status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"workloads": "tiny"}, 422, "workloads.0"),
        ({"workloads": f"{KEY},llm-prod/none"}, 422, "does not exist"),
        ({"workloads": "diffusion/sdxl-turbo"}, 404, "does not exist"),
        ({"epsilons": []}, 422, "epsilons"),
        ({"epsilons": ["much"]}, 422, "must be numbers"),
        ({"policies": ["magic"]}, 422, "policies"),
        ({"replay_hours": "1e9"}, 422, "replay_hours"),
    ],
)
def test_a_form_that_cannot_be_run_keeps_what_was_typed(
    deps: AdminDeps, database: Engine, change: dict[str, Any], status: int, words: str
) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        answer = human.send("/backtests", FORM | change)
        assert answer.status_code == status
        assert words in answer.text
        for name in (FORM | change)["workloads"].split(","):
            assert f'<option value="{name.strip()}" selected>' in answer.text
    assert audited(database) == []


def test_a_backtest_is_cancelled_by_an_operator_only(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR) as human:
        path = human.send("/backtests", FORM).headers["location"]
        with person(deps, Role.VIEWER) as viewer:
            assert viewer.send(f"{path}/cancel").status_code == 403
            assert "Cancel" not in viewer.get(path).text
            assert viewer.send("/backtests", FORM).status_code == 403
        assert human.send(f"{path}/cancel").headers["location"] == f"{path}?done=cancelled"
        assert "cancelled before it began" in human.get(path).text
        again = human.send(f"{path}/cancel")
        assert (again.status_code, "has ended as cancelled" in again.text) == (409, True)


def test_every_page_weighs_little(deps: AdminDeps, database: Engine) -> None:
    """Compressed bytes of each page with all that it loads."""
    with person(deps, Role.ADMIN) as human:
        path = human.send("/backtests", FORM).headers["location"]
        succeed(database, int(path.rpartition("/")[2]))
        paths = ["/", f"/workloads/{KEY}", "/approvals", path, "/frontier", "/models", "/audit"]
        sizes: dict[str, int] = {}
        for page_path in paths:
            page = human.get(page_path).text
            total = len(gzip.compress(page.encode()))
            for url in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)):
                if url not in sizes:
                    answer = human.get(url)
                    assert answer.status_code == 200, url
                    assert "immutable" in answer.headers["cache-control"]
                    sizes[url] = len(gzip.compress(answer.content))
                total += sizes[url]
            assert total <= 150_000, f"{page_path}: {total} bytes"
