"""Pages of decisions."""

from __future__ import annotations

import pytest

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
