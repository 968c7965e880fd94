"""What the platform gives its processes."""

from pydantic import SecretStr

from services.kernel.settings import Settings
from services.platform.platform import process_env, server_process


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
