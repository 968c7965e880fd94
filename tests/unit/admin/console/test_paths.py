"""Addresses of the console."""

from __future__ import annotations

import pytest

from services.admin.console.paths import key_of, local_path, path_of


@pytest.mark.parametrize("path", ["/", "/workloads/prod/llama?cursor=x", "/a//b"])
def test_a_path_of_this_site_is_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize("path", ["", "//evil.example", "/\\evil.example", "https://x", "/a\nb"])
def test_any_other_leads_to_the_fleet(path: str) -> None:
    assert local_path(path) == "/"


def test_names_are_quoted_in_an_address() -> None:
    assert path_of(key_of("prod", "a/b?c")) == "/workloads/prod/a%2Fb%3Fc"
