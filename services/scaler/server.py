"""The gRPC server around the calls: address, TLS, limits, health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # brings no types
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from services.kernel.errors import ConfigurationError
from services.kernel.listening import authority
from services.kernel.settings import Settings
from services.scaler.api import ExternalScaler
from services.scaler.listener import Watch
from services.scaler.proto.externalscaler_pb2_grpc import add_ExternalScalerServicer_to_server

SERVICE = "externalscaler.ExternalScaler"
MAX_MESSAGE_BYTES = 65536
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # a stream whose caller vanished without a word is found out
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # a second server on the port must fail, not take half of the calls
    ("grpc.so_reuseport", 0),
)
_SERVING, _NOT_SERVING = 1, 2


def make_server(settings: Settings, scaler: ExternalScaler, watch: Watch) -> tuple[Any, int]:
    """A server that is bound but not started, and its port.

    Raises:
        ConfigurationError: The address cannot be had, or TLS is given by halves.
    """
    server = grpc.aio.server(options=_OPTIONS)
    add_ExternalScalerServicer_to_server(scaler, server)  # type: ignore[no-untyped-call]  # generated
    server.add_generic_rpc_handlers((_health(watch),))
    address = authority(settings.host, settings.scaler_port)
    credentials = make_credentials(settings)
    try:
        if credentials is None:
            return server, int(server.add_insecure_port(address))
        return server, int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise ConfigurationError(
            f"HARMONY_HOST={settings.host!r} HARMONY_SCALER_PORT={settings.scaler_port}: cannot "
            "listen there; end the process that uses it, or choose another"
        ) from error


def make_credentials(settings: Settings) -> Any:
    """Credentials of the server; None: no TLS.

    Raises:
        ConfigurationError: One of certificate and key is missing, or a file cannot be read.
    """
    cert, key = settings.scaler_tls_cert_file, settings.scaler_tls_key_file
    client_ca = settings.scaler_tls_client_ca_file
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise ConfigurationError(
            "TLS needs both HARMONY_SCALER_TLS_CERT_FILE and HARMONY_SCALER_TLS_KEY_FILE"
        )
    pair = (_read("KEY", key), _read("CERT", cert))
    if client_ca is None:
        return grpc.ssl_server_credentials([pair])
    root = _read("CLIENT_CA", client_ca)
    return grpc.ssl_server_credentials([pair], root, require_client_auth=True)


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"HARMONY_SCALER_TLS_{name}_FILE={str(file)!r}: {error.strerror}"
        ) from error


def _health(watch: Watch) -> Any:
    """The standard health service, `Check` only, without its package.

    Its messages have one field each, numbered 1, and so read as well-known wrappers. The empty
    name asks for the process, the scaler's name whether it can answer.
    """

    async def check(request: Any, context: Any) -> Any:
        if request.value not in ("", SERVICE):
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"service={request.value!r} must be {SERVICE!r} or empty"
            )
        is_serving = not request.value or watch.is_current
        return Int32Value(value=_SERVING if is_serving else _NOT_SERVING)

    handler = grpc.unary_unary_rpc_method_handler(
        check, StringValue.FromString, Int32Value.SerializeToString
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
