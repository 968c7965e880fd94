"""Addresses of the console while there are several clusters: each says which it is about.

A page is of one cluster. Every address in it that leads back into the console names that cluster,
so that a link can be shared, two windows may show two clusters, and a form does what its page said,
whatever is shown elsewhere by then. While there is one cluster nothing is changed.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ADDRESS = re.compile(
    r'(\b(?:href|action|formaction|hx-get|hx-post|data-api)=")'
    r'(/(?!/|static/|login|logout|openapi\.json|reference)[^"#]*)'
)
_GET_FORM = re.compile(r'<form\b[^>]*\bmethod="get"[^>]*>')


def in_cluster(html: str, cluster: str) -> str:
    """A page whose addresses name a cluster, but for those that name one already."""
    html = _ADDRESS.sub(lambda found: found[1] + with_cluster(found[2], cluster, "&amp;"), html)
    hidden = f'<input type="hidden" name="cluster" value="{cluster}">'
    return _GET_FORM.sub(lambda found: found[0] + hidden, html)


def with_cluster(address: str, cluster: str, separator: str = "&") -> str:
    """An address that names a cluster; one that names one already stays."""
    if re.search(r"[?&;]cluster=", address):
        return address
    path, mark, fragment = address.partition("#")
    join, named = separator if "?" in path else "?", quote(cluster, safe="")
    return f"{path}{join}cluster={named}{mark}{fragment}"


class KeepCluster:
    """Leads on, after a form of a page that names a cluster, to a page of that cluster."""

    def __init__(self, app: ASGIApp) -> None:
        """Around `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        query = scope.get("query_string", b"")
        if scope["type"] != "http" or scope["method"] != "POST" or b"cluster=" not in query:
            await self.app(scope, receive, send)
            return
        cluster = parse_qs(query.decode("latin-1")).get("cluster", [""])[
            -1
        ]  # the one that rights go by

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 303:
                headers = MutableHeaders(scope=message)
                headers["Location"] = with_cluster(headers["Location"], cluster)
            await send(message)

        await self.app(scope, receive, sent)
