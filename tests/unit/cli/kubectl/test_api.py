"""Where the plugin asks and as whom; answers that are not Harmony's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.cli.kubectl.api import AdminApi, read_key, read_server
from services.kernel.errors import ConfigurationError, HarmonyError

KEY = "hk_0123456789_" + "x" * 43


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with what the server holds."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.server.seen.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.server.told:  # type: ignore[attr-defined]
            self.send_header("Harmony-Time", self.server.told)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    server.answer, server.seen, server.told = (200, b"{}"), [], None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(stranger: HTTPServer, status: int, body: object) -> str:
    """What the plugin says of this answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stranger.answer = (status, raw)  # type: ignore[attr-defined]
    api = AdminApi(f"http://127.0.0.1:{stranger.server_port}", KEY)
    try:
        with pytest.raises(HarmonyError) as caught:
            api.workload("serving", "a/b")
    finally:
        api.close()
    assert KEY not in caught.value.message
    return caught.value.message


def test_the_key_goes_in_a_header_and_names_are_quoted(stranger: HTTPServer) -> None:
    ask(stranger, 404, {"detail": "no"})
    assert stranger.seen == [("/v1/workloads/serving/a%2Fb", f"Bearer {KEY}")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>a proxy</html>", "must be the address of Harmony's admin API"),
        (502, b"Bad Gateway", "answered 502 without a JSON object"),
        (200, ["a", "list"], "must be the address of Harmony's admin API"),
        (200, {"cluster": "default", "namespace": "serving"}, "must be of the same version"),
        (500, {}, "/v1/workloads/serving/a%2Fb: HTTP 500"),
        (403, {"detail": "this needs the role viewer"}, "this needs the role viewer"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(
    stranger: HTTPServer, status: int, body: object, said: str
) -> None:
    assert said in ask(stranger, status, body)


@pytest.mark.parametrize("given", ["", "127.0.0.1:8080", "ftp://harmony", "http://"])
def test_a_server_must_be_an_http_address(given: str) -> None:
    with pytest.raises(ConfigurationError, match="server"):
        read_server(given, {})


def test_the_option_wins_over_the_variable() -> None:
    environment = {"HARMONY_URL": "http://one/"}
    assert read_server(None, environment) == "http://one"
    assert read_server("https://two", environment) == "https://two"


def test_a_file_wins_over_the_variable_and_the_option_over_both(tmp_path: Path) -> None:
    for name in ("option", "variable"):
        (tmp_path / name).write_text(f"hk_{name}\n")
    environment = {"HARMONY_KEY": "hk_plain", "HARMONY_KEY_FILE": str(tmp_path / "variable")}
    assert read_key(tmp_path / "option", environment) == "hk_option"
    assert read_key(None, environment) == "hk_variable"
    assert read_key(None, {"HARMONY_KEY": "hk_plain"}) == "hk_plain"


@pytest.mark.parametrize("content", ["", "\n", "hk_a hk_b", "hk_ä", "hk_a\nX-Evil: 1"])
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        read_key(file, {})
    assert "hk_a" not in caught.value.message


@pytest.mark.parametrize(
    ("told", "at"),
    [
        ("2026-01-06T12:00:00+00:00", datetime(2026, 1, 6, 12, tzinfo=UTC)),
        ("2026-01-06T12:00:00", None),
        ("soon", None),
        (None, None),
    ],
)
def test_the_time_of_a_replay_is_read_where_it_is_one(
    stranger: HTTPServer, told: str | None, at: datetime | None
) -> None:
    stranger.told = told  # type: ignore[attr-defined]
    api = AdminApi(f"http://127.0.0.1:{stranger.server_port}", KEY)
    try:
        assert api.workloads("serving") == []
    finally:
        api.close()
    assert api.replayed_at == at
