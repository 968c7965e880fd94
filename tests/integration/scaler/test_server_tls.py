"""TLS by files, with and without certificates of the callers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from services.kernel.clock import FixedClock
from services.kernel.db.session import make_engine
from services.kernel.settings import Settings
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub
from services.scaler.service import ScalerDeps
from tests.integration.scaler.conftest import Caller, Server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key), signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("is_mutual", [False, True])
def test_tls(pair: tuple[Path, Path], clock: FixedClock, is_mutual: bool) -> None:
    cert, key = pair
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        scaler_port=0,
        scaler_tls_cert_file=cert,
        scaler_tls_key_file=key,
        scaler_tls_client_ca_file=cert if is_mutual else None,
    )
    deps = ScalerDeps(make_engine(settings.database_url), clock, settings)
    anonymous = grpc.ssl_channel_credentials(cert.read_bytes())
    known = grpc.ssl_channel_credentials(cert.read_bytes(), key.read_bytes(), cert.read_bytes())
    with Server(deps) as server:
        assert says(server, known) is None
        refusal = says(server, anonymous)
        assert refusal is (grpc.StatusCode.UNAVAILABLE if is_mutual else None)
        assert says(server, None) is grpc.StatusCode.UNAVAILABLE


def says(server: Server, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode | None:
    """The error that a caller gets; None: it is answered."""
    address = f"localhost:{server.port}"
    channel = (
        grpc.insecure_channel(address)
        if credentials is None
        else grpc.secure_channel(address, credentials)
    )
    with channel:
        caller = Caller(ExternalScalerStub(channel), channel)
        try:
            caller.stub.GetMetricSpec(caller.reference(), timeout=5)
        except grpc.RpcError as error:
            return error.code()
    return None
