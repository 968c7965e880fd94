"""What the platform gives its processes."""

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.kernel.errors import InvalidInput
from services.kernel.settings import Settings, get_settings
from services.platform.platform import (
    check_port_free,
    process_env,
    server_process,
    service_processes,
)


def test_a_child_has_the_settings_whatever_the_environment_says() -> None:
    settings = Settings(port=8080, worker_metrics_port=0, push_token=SecretStr("sesame"))
    env = process_env(settings)
    assert env["HARMONY_PORT"] == "8080", "the default, which --port may ask for"
    assert env["HARMONY_WORKER_METRICS_PORT"] == "0"
    assert env["HARMONY_PUSH_TOKEN"] == "sesame"
    assert "HARMONY_OPERATOR_METRICS_PORT" not in env


def test_a_server_is_ready_once_it_says_where_it_listens() -> None:
    spec = server_process("ingest", {})
    assert (spec.name, spec.server) == ("ingest", "ingest")
    assert spec.argv[-1] == "services.ingest.main"


def test_a_child_reads_what_a_file_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By value alone: a setting that is given in both ways is refused."""
    file = tmp_path / "token"
    file.write_text("secret\n")
    monkeypatch.setenv("HARMONY_PUSH_TOKEN_FILE", str(file))
    read = get_settings.__wrapped__  # not what an earlier test left
    parent = read()
    for name, value in process_env(parent).items():
        monkeypatch.setenv(name, value)
    child = read()
    assert child.push_token == parent.push_token == SecretStr("secret")


def test_the_push_api_reads_its_token_where_its_senders_do(tmp_path: Path) -> None:
    settings = Settings(push_token=SecretStr("sesame"))
    drawn = {spec.name: spec.env for spec in service_processes(settings, tmp_path / "push-token")}
    assert drawn["ingest"]["HARMONY_PUSH_TOKEN_FILE"] == str(tmp_path / "push-token")
    assert drawn["ingest"]["HARMONY_PUSH_TOKEN"] == ""
    given = {spec.name: spec.env for spec in service_processes(settings)}
    assert given["ingest"]["HARMONY_PUSH_TOKEN_FILE"] == ""
    assert given["ingest"]["HARMONY_PUSH_TOKEN"] == "sesame"


def test_a_fit_gives_way_but_in_a_replay() -> None:
    """There steps follow each other at once: a fit that waited for them would come hours late."""
    found = {spec.name: spec.niceness for spec in service_processes(Settings())}
    assert {name for name, niceness in found.items() if niceness > 0} == {"worker-fit"}
    replayed = service_processes(Settings(clock="replay"))
    assert {spec.niceness for spec in replayed} == {0}


def test_a_port_of_an_ipv6_address_is_looked_at_as_such() -> None:
    """The services listen there; the look at it did not even know the kind of address."""
    with socket.socket(socket.AF_INET6) as taken:
        try:
            taken.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=r"is not free \(Address already in use\)"):
            check_port_free("::1", port, "--port")
    check_port_free("::1", port, "--port")
