"""The console while there are several clusters: one at a time, and forms keep to their page's."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import BASE_URL, AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration
PAGE = "/workloads/llm-prod/llama-70b-chat"


def log_in(client: AppClient, database: Engine, cluster_id: int | None) -> None:
    with database.begin() as connection:
        token = create_key(connection, "ops", Role.ADMIN, NOW, cluster_id=cluster_id).token
    client.headers |= {"Origin": BASE_URL, "Accept": "text/html"}
    assert client.post("/login", data={"key": token}).status_code == 303


def put_into_other(database: Engine) -> None:
    """Another cluster with one workload, of a name that the first has too."""
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, cluster_id) SELECT namespace, name, :shard, step_s, spec, created_at, "
                "updated_at, 2 FROM workloads WHERE name = 'llama-70b-chat'"
            ),
            {"shard": SHARDS_PER_CLUSTER},
        )


@pytest.mark.usefixtures("seeded")
def test_nothing_of_clusters_is_shown_while_there_is_one(
    anonymous: AppClient, database: Engine
) -> None:
    log_in(anonymous, database, None)
    for path in ("/", PAGE, "/limits", "/keys"):
        assert "cluster=" not in anonymous.get(path).text, path


@pytest.mark.usefixtures("seeded")
def test_a_page_is_of_one_cluster_and_leads_to_pages_of_the_same(
    anonymous: AppClient, database: Engine
) -> None:
    put_into_other(database)
    log_in(anonymous, database, None)
    first, second = anonymous.get("/").text, anonymous.get("/?cluster=other").text
    assert "mixtral-agents" in first
    assert "mixtral-agents" not in second
    assert f'href="{PAGE}?cluster=other"' in second
    assert 'hx-get="/fleet?cluster=other"' in second
    for name in ("default", "other"):
        assert f'href="/?cluster={name}"' in first
    cells = anonymous.get("/cells").text
    assert "default" in cells
    assert "other" in cells
    assert anonymous.get("/?cluster=nowhere").status_code == 404


@pytest.mark.usefixtures("seeded")
def test_a_form_acts_in_the_cluster_of_its_page(anonymous: AppClient, database: Engine) -> None:
    put_into_other(database)
    log_in(anonymous, database, None)
    form = {"direction": "Both", "reason": "x"}
    assert anonymous.post(f"{PAGE}/pause", data=form).status_code == 409, "of which cluster?"
    done = anonymous.post(f"{PAGE}/pause?cluster=other", data=form)
    assert done.status_code == 303
    assert done.headers["location"].endswith("cluster=other")
    with database.connect() as connection:
        paused = connection.execute(
            text(
                "SELECT w.cluster_id FROM workload_controls c JOIN workloads w "
                "ON w.id = c.workload_id WHERE c.body ->> 'pause' IS NOT NULL"
            )
        )
        assert list(paused.scalars()) == [2]


@pytest.mark.usefixtures("seeded")
def test_a_visitor_of_one_cluster_sees_no_other(anonymous: AppClient, database: Engine) -> None:
    put_into_other(database)
    log_in(anonymous, database, 2)
    page = anonymous.get("/").text
    assert "llama-70b-chat" in page
    assert "mixtral-agents" not in page
    assert "default" not in anonymous.get("/cells").text
    assert anonymous.get("/?cluster=default").status_code == 403


@pytest.mark.usefixtures("seeded")
def test_a_fleet_that_refreshes_keeps_its_cluster_in_the_address(
    anonymous: AppClient, database: Engine
) -> None:
    log_in(anonymous, database, None)
    assert anonymous.get("/fleet?search=llama").headers["HX-Replace-Url"] == "/?search=llama"
    put_into_other(database)
    for cluster in ("default", "other"):
        part = anonymous.get(f"/fleet?search=llama&cluster={cluster}")
        assert part.headers["HX-Replace-Url"] == f"/?search=llama&cluster={cluster}"
    assert anonymous.get("/fleet?cluster=other").headers["HX-Replace-Url"] == "/?cluster=other"


@pytest.mark.parametrize("named", ["%E2%82%AC", "x%0D%0ASet-Cookie:%20a=b", "x&cluster=default"])
def test_what_an_address_names_as_a_cluster_is_never_more_than_that(
    anonymous: AppClient, database: Engine, named: str
) -> None:
    with database.begin() as connection:
        token = create_key(connection, "ops", Role.VIEWER, NOW).token
    form, origin = {"key": token}, {"Origin": BASE_URL}
    answer = anonymous.post(f"/login?cluster={named}", data=form, headers=origin)
    last = named.rpartition("cluster=")[2].replace(":", "%3A").replace("=", "%3D")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/?cluster={last}")
