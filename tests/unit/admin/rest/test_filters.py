"""Filters that lists share."""

from __future__ import annotations

import pytest

from services.admin.rest.filters import parse_labels
from services.kernel.errors import InvalidInput


def test_labels_by_key() -> None:
    assert parse_labels(None) == {}
    assert parse_labels(["team=chat", "tier="]) == {"team": "chat", "tier": ""}


@pytest.mark.parametrize(
    "text", ["team", "=chat", "team=chat=blue", "team==chat", "k=" + 400 * "x"]
)
def test_what_no_label_can_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="must read key=value"):
        parse_labels([text])


def test_a_key_is_asked_for_once() -> None:
    with pytest.raises(InvalidInput, match="'team' is given twice"):
        parse_labels(["team=chat", "team=search"])
