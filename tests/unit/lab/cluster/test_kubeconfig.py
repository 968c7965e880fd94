"""The kubeconfig of the simulated cluster, read as clients read it."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client, config

from services.lab.cluster.kubeconfig import make_kubeconfig

URL = "http://127.0.0.1:6443"


def test_the_kubernetes_client_finds_server_and_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(make_kubeconfig(URL, "secret")))
    configuration = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration)  # type: ignore[no-untyped-call]  # the library has no types
    assert configuration.host == URL
    assert configuration.get_api_key_with_prefix("BearerToken") == "Bearer secret"


def test_its_only_context_names_a_cluster_and_a_user_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "config"
    found = make_kubeconfig(URL, "secret")
    assert (found["apiVersion"], found["kind"]) == ("v1", "Config")
    path.write_text(yaml.safe_dump(found))
    contexts, active = config.list_kube_config_contexts(str(path))  # type: ignore[no-untyped-call]  # as above
    assert contexts == [active]
    assert active["context"] == {
        "cluster": "harmony-lab",
        "user": "harmony-lab",
        "namespace": "default",
    }
