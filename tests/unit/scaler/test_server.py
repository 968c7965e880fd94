"""A server that cannot be had says which setting is wrong."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from services.kernel.clock import FixedClock
from services.kernel.db.session import make_engine
from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.scaler.main import serve
from services.scaler.server import make_credentials
from services.scaler.service import ScalerDeps
from tests.unit.scaler.examples import NOW


def settings(**changes: Any) -> Settings:
    return Settings(database_url="postgresql://nobody@127.0.0.1:1/none", **changes)


@pytest.mark.parametrize("given", ["cert", "key", "client_ca"])
def test_tls_by_halves_is_refused(tmp_path: Path, given: str) -> None:
    half = settings(**{f"scaler_tls_{given}_file": tmp_path / "one.pem"})
    with pytest.raises(ConfigurationError, match="both HARMONY_SCALER_TLS_CERT_FILE and"):
        make_credentials(half)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = settings(
        scaler_tls_cert_file=tmp_path / "cert.pem", scaler_tls_key_file=tmp_path / "key.pem"
    )
    with pytest.raises(ConfigurationError, match=r"HARMONY_SCALER_TLS_KEY_FILE='.*key\.pem': No"):
        make_credentials(missing)


def test_no_tls_by_default() -> None:
    assert make_credentials(settings()) is None


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ours = settings(scaler_port=port)
        deps = ScalerDeps(make_engine(ours.database_url), FixedClock(NOW), ours)

        async def start() -> None:
            await serve(deps, asyncio.Event(), lambda _: None)

        with pytest.raises(ConfigurationError, match=f"HARMONY_SCALER_PORT={port}"):
            asyncio.run(start())
