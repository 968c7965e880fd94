"""The network policies: each connection that is made is let through, and no other.

The policies are read as a cluster reads them: a connection inside the release needs the leave of
both ends, one across its border the leave of the end that is inside.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from services.kernel.jobs import QUEUES
from tests.unit.deploy.chart import Manifest, of_kind, pod_specs, render
from tests.unit.deploy.chart_values import MATRIX, PEERS

WORKERS = {f"worker-{queue}" for queue in QUEUES}
ON_REDIS = {"admin", "ingest", "beat"} | WORKERS
ON_DATABASE = ON_REDIS | {"operator", "migrate", "scaler"}
TRACED = {"admin", "ingest", "operator"} | WORKERS
OURS = ON_DATABASE | {"crds", "test"}
SERVERS = {"postgres": 5432, "redis": 6379}
LISTENING = {
    **{"admin": {8080}, "ingest": {8081}, "operator": {8082}, "scaler": {8084, 8085}},
    "beat": {8083},
    **{worker: {8083} for worker in WORKERS},
    **{server: {port} for server, port in SERVERS.items()},
}
PORTS = sorted(set.union(*LISTENING.values()))
INSIDE = (
    {(client, "postgres", 5432) for client in ON_DATABASE}
    | {(client, "redis", 6379) for client in ON_REDIS}
    | {("test", "admin", 8080), ("test", "ingest", 8081)}
)
"""Every connection between pods of a release with servers of its own."""
ALL_ON: dict[str, Any] = {
    "scaler": {"enabled": True},
    "settings": {
        "oidc_issuer": "https://id.example",
        "otel_endpoint": "http://collector.tracing:4318/v1/traces",
    },
}


class Network:
    """What the policies of a render let through, for pods of the release by component."""

    def __init__(self, values: dict[str, Any]) -> None:
        manifests = render(values)
        self.policies = of_kind(manifests, "NetworkPolicy")
        self.ports = {
            name.partition("/harmony-")[2]: {
                port["name"]: port["containerPort"]
                for container in spec["containers"]
                for port in container.get("ports", [])
            }
            for name, spec in pod_specs(manifests).items()
        }

    def peers(self, component: str, direction: str, port: int) -> list[Any]:
        """Peers that are let through; [] none, None among them anyone."""
        found: list[Any] = []
        for policy in self.policies:
            if direction not in policy["spec"]["policyTypes"]:
                continue
            if not selects(policy["spec"]["podSelector"], component):
                continue
            for rule in policy["spec"].get(direction.lower(), []):
                given = {self._number(component, p["port"]) for p in rule["ports"]}
                if port in given:
                    found += rule.get("from") or rule.get("to") or [None]
        return found

    def joins(self, source: str, target: str, port: int) -> bool:
        """Whether one pod of the release may connect to another."""
        ends = (
            (self.peers(source, "Egress", port), target),
            (self.peers(target, "Ingress", port), source),
        )
        return all(any(names(peer, other) for peer in found) for found, other in ends)

    def _number(self, component: str, port: int | str) -> int | None:
        return port if isinstance(port, int) else self.ports.get(component, {}).get(port)


def selects(selector: Manifest, component: str) -> bool:
    labels = {
        "app.kubernetes.io/name": "harmony",
        "app.kubernetes.io/instance": "harmony",
        "app.kubernetes.io/component": component,
    }
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    return selector["matchLabels"].items() <= labels.items() and all(
        e["operator"] == "In" and labels[e["key"]] in e["values"]
        for e in selector.get("matchExpressions", [])
    )


def names(peer: Manifest | None, component: str) -> bool:
    """Whether a peer of a rule is a component of the release."""
    if peer is None:
        return True
    return set(peer) == {"podSelector"} and selects(peer["podSelector"], component)


def leaving(network: Network, port: int) -> set[str]:
    """Components that reach anything outside of the release on a port."""
    return {c for c in OURS | set(SERVERS) if None in network.peers(c, "Egress", port)}


def test_everything_is_refused_first() -> None:
    policies = Network(ALL_ON).policies
    (first,) = (p for p in policies if p["metadata"]["name"].endswith("default-deny"))
    assert first["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(first["spec"])
    for component in OURS | set(SERVERS):
        assert selects(first["spec"]["podSelector"], component), component


def test_the_release_itself_holds_exactly_these_connections() -> None:
    network = Network(ALL_ON)
    pods = sorted(OURS | set(SERVERS))
    found = {
        (source, target, port)
        for source, target, port in product(pods, pods, PORTS)
        if port in LISTENING.get(target, ()) and network.joins(source, target, port)
    }
    # a Prometheus that is anywhere may be on the console's port
    assert found == INSIDE | {("worker-ingest", "admin", 8080)}
    elsewhere = {"networkPolicies": {"prometheus": {"to": PEERS}}}
    assert not Network({**ALL_ON, **elsewhere}).joins("worker-ingest", "admin", 8080)


def test_the_border_is_crossed_by_exactly_these() -> None:
    network = Network(ALL_ON)
    assert leaving(network, 53) == OURS
    assert leaving(network, 6443) == {"operator", "crds"}
    assert leaving(network, 9090) == {"worker-ingest"}
    assert leaving(network, 443) == {"operator", "crds", "worker-ingest", "admin"}
    assert leaving(network, 4318) == TRACED
    assert leaving(network, 5432) == leaving(network, 6379) == set()
    entered = {
        (component, port)
        for component, ports in LISTENING.items()
        for port in ports
        if None in network.peers(component, "Ingress", port)
    }
    scraped = {(c, p) for c, ports in LISTENING.items() for p in ports if c not in SERVERS}
    assert entered == scraped


def test_what_is_off_opens_nothing() -> None:
    network = Network({})
    assert leaving(network, 4318) == set()
    assert "admin" not in leaving(network, 443)
    assert network.peers("scaler", "Ingress", 8084) == []
    names_of = {p["metadata"]["name"] for p in network.policies}
    assert not names_of & {"harmony-scaler", "harmony-issuer", "harmony-traces"}


def test_peers_are_asked_by_those_who_read_them() -> None:
    network = Network({"settings": {"peers": "eu=https://harmony.eu.example"}})
    assert leaving(network, 443) >= {"admin", "worker-decide"}
    assert "worker-forecast" not in leaving(network, 443)
    assert "worker-decide" not in leaving(Network({}), 443)


def test_servers_of_your_own_are_reached_by_the_same_clients() -> None:
    given = {**ALL_ON, **MATRIX["external"]}
    network = Network(given)
    assert leaving(network, 5432) == ON_DATABASE
    assert leaving(network, 6379) == ON_REDIS
    made = {p["metadata"]["name"] for p in network.policies}
    assert not made & {"harmony-postgres", "harmony-redis"}


def test_who_may_ask_can_be_narrowed() -> None:
    network = Network(MATRIX["everything"])
    for component, ports in LISTENING.items():
        for port in ports:
            found = network.peers(component, "Ingress", port)
            assert None not in found, component
            assert [p for p in found if p in PEERS] or component == "redis", component
    for port in (443, 4318, 5432, 6379, 6443, 9090):
        assert leaving(network, port) == set()
    assert Network(MATRIX["everything-external"]).peers("admin", "Egress", 5432) == PEERS


@pytest.mark.parametrize("port", [8080, 8081])
def test_clients_named_alone_shut_out_others_that_only_scrape(port: int) -> None:
    """/metrics is on the port of the API: who may scrape anything must not come in by that."""
    component = "admin" if port == 8080 else "ingest"
    network = Network({"networkPolicies": {"clients": {"from": PEERS}}})
    found = network.peers(component, "Ingress", port)
    assert None not in found
    assert network.joins("test", component, port), "helm test still asks"
    mine = [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    narrowed = {"networkPolicies": {"clients": {"from": PEERS}, "monitoring": {"from": mine}}}
    assert mine[0] in Network(narrowed).peers(component, "Ingress", port)


ELSEWHERE: dict[str, Any] = {
    "postgres": {"enabled": False},
    "redis": {"enabled": False},
    "database": {"url": "postgresql+psycopg://harmony:p%40ss:w@pg-1:6432,pg-2:6433/harmony"},
    "redisServer": {"url": "rediss://:secret@cache.example:6380/0"},
    "settings": {
        "prometheus_url": "http://vmselect.monitoring:8428/select/0/prometheus",
        "oidc_issuer": "https://id.example:8443/realms/gpu",
        "otel_endpoint": "https://collector.example/v1/traces",
        "peers": "eu=https://harmony.eu.example:9443, us=https://harmony.us.example",
    },
}


def test_the_ports_of_urls_that_the_values_give_are_let_through() -> None:
    network = Network(ELSEWHERE)
    assert leaving(network, 6432) == leaving(network, 6433) == ON_DATABASE - {"scaler"}
    assert leaving(network, 6380) == ON_REDIS
    assert leaving(network, 8428) == {"worker-ingest"}
    assert leaving(network, 8443) == {"admin"}
    assert leaving(network, 9443) == {"admin", "worker-decide"}
    assert leaving(network, 443) >= TRACED | {"worker-decide"}
    for port in (5432, 6379):
        assert leaving(network, port), "what a Secret names is at the usual port"
    for port in (40, 80):
        assert leaving(network, port) <= {"worker-ingest"}


def test_an_operator_alone_asks_the_database_and_the_api_server_and_nobody_else() -> None:
    network = Network(MATRIX["operator-only"])
    assert leaving(network, 5432) == {"operator", "migrate", "scaler"}
    assert leaving(network, 6443) == {"operator", "crds"}
    assert leaving(network, 6379) == leaving(network, 9090) == set()
    for gone in ("admin", "ingest", "beat", "redis", "test", *WORKERS):
        assert network.peers(gone, "Ingress", 8080) == network.peers(gone, "Egress", 5432) == []
    assert None in network.peers("operator", "Ingress", 8082)


def test_a_port_is_let_through_once() -> None:
    for policy in Network({**ALL_ON, **MATRIX["external"], **ELSEWHERE}).policies:
        for rule in policy["spec"].get("egress", []):
            ports = [(each["port"], each["protocol"]) for each in rule["ports"]]
            assert len(ports) == len(set(ports))
