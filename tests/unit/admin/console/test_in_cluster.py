"""Addresses of a page that name the cluster that the page is about."""

from __future__ import annotations

from services.admin.console.in_cluster import in_cluster, with_cluster


def test_addresses_that_lead_back_into_the_console_name_the_cluster() -> None:
    page = (
        '<a href="/">x</a><a href="/freezes?state=all#top">x</a><a href="https://example.org/">x</a>'
        '<a href="/?cluster=us">us</a><a href="#main">x</a><a href="//evil.test/">x</a>'
        '<form method="post" action="/freezes"><button formaction="/models/roll-back"></form>'
        '<div hx-get="/fleet"></div><div data-api="/v1/frontier?backtest_id=3"></div>'
    )
    assert in_cluster(page, "eu") == (
        '<a href="/?cluster=eu">x</a><a href="/freezes?state=all&amp;cluster=eu#top">x</a>'
        '<a href="https://example.org/">x</a><a href="/?cluster=us">us</a><a href="#main">x</a>'
        '<a href="//evil.test/">x</a><form method="post" action="/freezes?cluster=eu">'
        '<button formaction="/models/roll-back?cluster=eu"></form>'
        '<div hx-get="/fleet?cluster=eu"></div>'
        '<div data-api="/v1/frontier?backtest_id=3&amp;cluster=eu"></div>'
    )


def test_what_is_no_part_of_a_cluster_stays() -> None:
    page = '<link href="/static/a.css"><form method="post" action="/logout"></form>'
    assert in_cluster(page, "eu") == page


def test_a_form_that_reads_sends_the_cluster_along() -> None:
    page = '<form class="x" method="get" action="/audit">'
    hidden = '<input type="hidden" name="cluster" value="eu">'
    assert in_cluster(page, "eu") == page.replace("/audit", "/audit?cluster=eu") + hidden


def test_an_address_names_one_cluster_only() -> None:
    assert with_cluster("/a?cluster=us", "eu") == "/a?cluster=us"
    assert with_cluster("/a?done=x#b", "eu") == "/a?done=x&cluster=eu#b"
    assert (
        with_cluster("/a", "e\r\nSet-Cookie: €&x")
        == "/a?cluster=e%0D%0ASet-Cookie%3A%20%E2%82%AC%26x"
    )
