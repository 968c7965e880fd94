"""Network settings of the simulated cluster for its clients."""

from __future__ import annotations

DEFAULT_TOKEN = "harmony-lab"  # noqa: S105  # only loopback clients of a simulation show it


def make_kubeconfig(url: str, token: str) -> dict[str, object]:
    """A kubeconfig for clients of this server."""
    name = "harmony-lab"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}
        ],
    }
