"""Whether a URL can be asked, and who could listen."""

from __future__ import annotations

import pytest

from services.kernel.security.urls import is_private, parse_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://idp.example.org/realms/one", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/x", True),
        ("http://[::1]:8080/x", True),
        ("http://idp.example.org", False),
        ("https://user@idp.example.org", False),
        ("https://idp.example.org/#part", False),
        ("https:///x", False),
        ("ftp://idp.example.org", False),
        ("https://idp.example.org:99999", False),
    ],
)
def test_nobody_listens_on_the_way(url: str, expected: bool) -> None:
    assert is_private(url) is expected


def test_what_can_be_asked_comes_in_parts_and_what_cannot_is_none() -> None:
    parts = parse_url("https://idp.example.org:8443/x?y=1")
    assert parts is not None
    assert (parts.hostname, parts.port, parts.query) == ("idp.example.org", 8443, "y=1")
    assert parse_url("https://idp.example.org:99999") is None
