"""Pages of decisions."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_decisions_page_without_gap_or_repeat(viewer) -> None:
    path, seen, cursor = "/v1/decisions", [], None
    while True:
        query = {"limit": 37} | ({"cursor": cursor} if cursor else {})
        page = viewer.get(path, params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 3 * 48
    assert len({item["id"] for item in seen}) == len(seen)
    assert [i["origin_at"] for i in seen] == sorted((i["origin_at"] for i in seen), reverse=True)


@pytest.mark.usefixtures("seeded")
def test_what_cannot_be_made_again_says_so_over_rest_and_in_the_console(
    viewer, console, database: Engine
) -> None:
    path, words = "/v1/decisions/100040", "decision 100040 cannot be made again"
    assert viewer.get(path).json()["replay_message"] is None
    assert viewer.post(f"{path}/replay").status_code == 202
    assert words not in console.get("/decisions/100040").text
    with database.begin() as connection:
        connection.execute(text("DELETE FROM decision_inputs"))
    assert viewer.get(path).json()["replay_message"].startswith(words)
    refused = viewer.post(f"{path}/replay")
    assert (refused.status_code, refused.json()["detail"].startswith(words)) == (409, True)
    assert words in console.get("/decisions/100040").text


@pytest.mark.usefixtures("seeded")
def test_what_a_scaling_in_cut_off_is_said_over_rest_and_in_the_console(
    viewer, console, database: Engine
) -> None:
    path, words = "/v1/decisions/100040", "The scaling in cut requests off: 1 pod was killed"
    assert viewer.get(path).json()["killed_pods"] == []
    assert words not in console.get("/decisions/100040").text
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO killed_pods (pod_uid, workload_id, pod, decision_id, grace_s, "
                "requests, told_at, killed_at) SELECT 'u', workload_id, 'llama-x', id, 30, 2, "
                "decided_at, decided_at + interval '30 s' FROM decisions WHERE id = 100040"
            )
        )
    (pod,) = viewer.get(path).json()["killed_pods"]
    assert (pod["pod"], pod["grace_s"], pod["requests"]) == ("llama-x", 30.0, 2.0)
    assert words in console.get("/decisions/100040").text
