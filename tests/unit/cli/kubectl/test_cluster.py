"""The kubeconfig as people have it: without a current context, and as no kubeconfig at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cli.kubectl.cluster import Cluster, namespace_of_context
from services.kernel.errors import ConfigurationError

SERVER = "http://127.0.0.1:9"


def written(path: Path, **changes: object) -> Path:
    """A kubeconfig of one cluster with two contexts."""
    named = {"cluster": "c", "user": "u"}
    contexts = [
        {"name": "prod", "context": named | {"namespace": "serving"}},
        {"name": "plain", "context": named},
    ]
    given: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": contexts,
    }
    path.write_text(json.dumps(given | changes))
    return path


@pytest.mark.parametrize("current", [{}, {"current-context": ""}, {"current-context": "plain"}])
def test_a_context_that_is_named_needs_no_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: dict[str, object]
) -> None:
    """Who has several clusters often has none of them current, so that nothing goes astray."""
    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path / "config", **current)))
    assert namespace_of_context("prod") == "serving"
    assert namespace_of_context("plain") == namespace_of_context(None) == "default"
    Cluster("prod").close()
    with pytest.raises(ConfigurationError, match="--context 'other' is not in the kubeconfig"):
        namespace_of_context("other")


def test_of_several_files_the_first_that_names_a_context_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = written(
        tmp_path / "later",
        contexts=[
            {"name": "prod", "context": {"cluster": "c", "namespace": "elsewhere"}},
            {"name": "test", "context": {"cluster": "c", "namespace": "testing"}},
        ],
    )
    both = f"{written(tmp_path / 'first')}:{later}"
    monkeypatch.setenv("KUBECONFIG", both)
    assert [namespace_of_context(name) for name in ("prod", "test")] == ["serving", "testing"]


def test_of_several_files_the_first_current_context_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl has it: a pause must not reach another cluster than `kubectl get` shows."""
    named = {"cluster": "other", "user": "u", "namespace": "elsewhere"}
    files = [
        written(tmp_path / "none", **{"current-context": ""}),
        written(tmp_path / "first", **{"current-context": "prod"}),
        written(
            tmp_path / "last",
            clusters=[{"name": "other", "cluster": {"server": "http://127.0.0.1:8"}}],
            contexts=[{"name": "other", "context": named}],
            **{"current-context": "other"},
        ),
    ]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert namespace_of_context(None) == "serving"
    for context, label in ((None, f"context 'prod' ({SERVER})"), ("other", "http://127.0.0.1:8")):
        cluster = Cluster(context)
        assert label in cluster.label
        cluster.close()


@pytest.mark.parametrize("text", ["a: [b\n  c: }", "- 1", "contexts: [1]", "7"])
def test_what_is_no_kubeconfig_is_said_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    for ask in (namespace_of_context, Cluster):
        with pytest.raises(ConfigurationError, match="the kubeconfig cannot be used: "):
            ask(None)


def test_a_folder_is_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Is a directory"):
        namespace_of_context(None)


def test_without_a_kubeconfig_there_is_the_default_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert namespace_of_context(None) == "default"
    with pytest.raises(ConfigurationError, match="No configuration found"):
        Cluster(None)
