"""Values that the chart is rendered with, each set for another shape of a release."""

from __future__ import annotations

from typing import Any

EXTERNAL: dict[str, Any] = {
    "postgres": {"enabled": False},
    "database": {"existingSecret": "our-database", "key": "uri"},
    "redis": {"enabled": False},
    "redisServer": {"existingSecret": "our-redis"},
}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "ml"}}}]
EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "ml"},
    "image": {"repository": "registry.example/harmony", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "pod": {
        "podAnnotations": {"example.com/a": "1"},
        "podLabels": {"example.com/b": "2"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "cpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
    },
    "admin": {
        "existingSecret": "our-key",
        "existingSecretKey": "token",
        "oidc": {"existingSecret": "our-client"},
    },
    "settings": {
        "oidc_issuer": "https://id.example",
        "oidc_audience": "harmony",
        "otel_endpoint": "http://collector.tracing:4318/v1/traces",
    },
    "ingest": {"existingSecret": "our-token"},
    "scaler": {"enabled": True, "tls": {"existingSecret": "scaler-tls", "verifyClients": True}},
    "workers": {
        "fit": {
            "nodeSelector": {"gpu": "yes"},
            "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "8Gi"}},
        }
    },
    "serviceAccounts": {"annotations": {"example.com/role": "harmony"}},
    "ingress": {"enabled": True, "host": "harmony.example", "className": "nginx", "tlsSecret": "t"},
    "networkPolicies": {
        "clients": {"from": PEERS},
        "monitoring": {"from": PEERS},
        "scaler": {"from": PEERS},
        "database": {"from": PEERS, "to": PEERS},
        "redis": {"to": PEERS},
        "prometheus": {"to": PEERS},
        "apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]},
        "issuer": {"to": PEERS},
        "traces": {"to": PEERS},
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prom"}},
        "prometheusRule": {"enabled": True, "runbookBase": "https://wiki.example/"},
        "dashboards": {"enabled": True, "namespace": "grafana"},
    },
}
NOTHING: dict[str, Any] = {
    **EXTERNAL,
    "serviceAccounts": {"create": False, "names": {"operator": "mine"}},
    "rbac": {"create": False},
    "crds": {"upgrade": False},
    "networkPolicies": {"enabled": False},
    "podDisruptionBudgets": {"enabled": False},
}
MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "external": EXTERNAL,
    "external-urls": {
        "postgres": {"enabled": False},
        "database": {"url": "postgresql://u:p@db:5432/harmony"},
        "redis": {"enabled": False},
        "redisServer": {"url": "rediss://r:6380/0"},
    },
    "everything": EVERYTHING,
    "everything-external": {**EVERYTHING, **EXTERNAL},
    "scaler": {"scaler": {"enabled": True}},
    "operator-only": {
        "operatorOnly": True,
        "postgres": {"enabled": False},
        "database": {"existingSecret": "our-database", "key": "uri"},
        "scaler": {"enabled": True},
        "settings": {"cluster": "eu-west", "prometheus_url": "http://prometheus:9090"},
        "monitoring": {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
        },
    },
    "monitoring": {"monitoring": EVERYTHING["monitoring"]},
    "nothing": NOTHING,
    "names": {"fullnameOverride": "h", "nameOverride": "gpu-scaling"},
}
