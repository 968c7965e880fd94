"""What every process shows of itself, whatever it does."""

from importlib.metadata import version

from services.kernel.telemetry import REGISTRY


def test_the_version_is_told_from_the_start() -> None:
    labels = {"version": version("harmony-gpu")}
    assert REGISTRY.get_sample_value("harmony_build_info", labels) == 1.0
