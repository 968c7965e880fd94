"""What documents ask of `kubectl` and `helm`, held against the chart and our objects."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import yaml

from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.unit.deploy.chart import CHART, Manifest, render
from tests.unit.docs.blocks import REPO

_KUBECTL = {
    "-n": 1, "--namespace": 1, "-f": 1, "-p": 1, "--type": 1, "-o": 1, "-l": 1, "--tail": 1,
    "--timeout": 1, "--replicas": 1, "-A": 0, "--all": 0, "--server-side": 0,
    "--force-conflicts": 0, "--prefix": 0,
}  # fmt: skip
_HELM = {
    "-n": 1, "--namespace": 1, "--set": 1, "--timeout": 1, "--create-namespace": 0, "--wait": 0,
    "--reset-then-reuse-values": 0, "--reuse-values": 0,
}  # fmt: skip
_OTHERS = {"secret", "pvc", "pods", "events", "deployment"}
_WORKLOADS = {"deployment": "Deployment", "service": "Service", "secret": "Secret"}


def options(known: dict[str, int], arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Words, and options with their values; an option that the program lacks is refused."""
    words: list[str] = []
    found: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
        elif name not in known:
            raise ValueError(f"unknown option {name}; known here: {', '.join(sorted(known))}")
        else:
            found.append((name, value if equals or not known[name] else rest.pop(0)))
    return words, found


@cache
def released() -> tuple[Manifest, ...]:
    """What a release has, with all that may be switched on."""
    return tuple(render({"scaler": {"enabled": True}}))


def check_kubectl(arguments: list[str], inner: Callable[[list[str]], object]) -> None:
    """Hold a call against what a release has; `inner` looks at a command in a pod.

    Raises:
        ValueError: It asks for what is not there.
    """
    if "--" in arguments:
        at = arguments.index("--")
        inner(arguments[at + 1 :])
        arguments = arguments[:at]
    words, given = options(_KUBECTL, arguments)
    verb, *rest = words
    files = [value for name, value in given if name == "-f"]
    for file in files:
        _check_file(file)
    chosen = [value for name, value in given if name == "-l"]
    for selector in chosen:
        _check_selector(selector)
    known: dict[str, Callable[[], None]] = {
        "apply": lambda: _demand(bool(files), "apply needs -f"),
        "get": lambda: _check_resource(rest, dict(given)),
        "describe": lambda: _check_resource(rest, dict(given)),
        "delete": lambda: None if files else _check_resource(rest, dict(given)),
        "patch": lambda: _check_patch(rest, dict(given)),
        "rollout": lambda: _check_running(rest[1]),
        "exec": lambda: _check_running(rest[0]),
        "logs": lambda: _demand(bool(chosen), "logs needs -l"),
        "scale": lambda: _demand("--replicas" in dict(given), "scale needs --replicas"),
        "port-forward": lambda: _check_port(rest[0], rest[1]),
    }
    if verb not in known:
        raise ValueError(f"kubectl {verb}: no test knows it; known: {', '.join(known)}")
    known[verb]()


def check_helm(arguments: list[str]) -> list[Manifest]:
    """Render what is installed or upgraded; other calls must name the release.

    Raises:
        ValueError: An unknown command or option.
        helm_python.HelmError: The chart refuses the values.
    """
    words, given = options(_HELM, arguments)
    verb, release, *rest = words
    _demand(verb in {"install", "upgrade", "test", "history", "rollback", "uninstall"}, verb)
    _demand(release == "harmony", f"release {release!r}: the documents call it harmony")
    if verb not in {"install", "upgrade"}:
        return []
    _demand((REPO / rest[0]).resolve() == CHART, f"no chart at {rest[0]}")
    values: dict[str, Any] = {}
    for name, pair in given:
        if name == "--set":
            path, _, value = pair.partition("=")
            _put(values, path.split("."), yaml.safe_load(value))
    return render(values, is_upgrade=verb == "upgrade")


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _check_file(name: str) -> None:
    path = REPO / name
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    _demand(bool(files) and all(file.is_file() for file in files), f"{name}: no such file")
    for file in files:
        assert all(one["kind"] for one in yaml.safe_load_all(file.read_text()))


def names_of_resources() -> set[str]:
    """All names under which kubectl finds our objects."""
    found: set[str] = set()
    for definition in DEFINITIONS:
        names = to_crd(definition)["spec"]["names"]
        found |= {names["plural"], names["singular"], *names.get("shortNames", ())}
    return found


def _check_resource(words: list[str], given: dict[str, str]) -> None:
    for kind in words[0].split(","):
        _demand(kind in names_of_resources() | _OTHERS, f"no resource {kind!r}")
    if words[0] in _WORKLOADS and words[1:]:
        found = _named(words[0], words[1])
        output = given.get("-o", "")
        if output.startswith("jsonpath={.data."):
            key = output.removeprefix("jsonpath={.data.").removesuffix("}")
            _demand(key in found["data"], f"the Secret has no {key!r}, but {list(found['data'])}")
    elif given.get("-o", "").startswith("jsonpath={.status."):
        field = given["-o"].removeprefix("jsonpath={.status.").removesuffix("}")
        status = _schema("GPUAutoscaler")["properties"]["status"]
        _demand(field in status["properties"], f"no status.{field}")


def _named(kind: str, name: str) -> Manifest:
    ours = [m for m in released() if m["kind"] == _WORKLOADS[kind]]
    found = [m for m in ours if m["metadata"]["name"] == name]
    names = ", ".join(m["metadata"]["name"] for m in ours)
    _demand(bool(found), f"a release has no {kind} {name!r}, but {names}")
    return found[0]


def _check_running(target: str) -> None:
    kind, _, name = target.partition("/")
    _demand(kind in _WORKLOADS and bool(name), f"{target}: no deployment/NAME")
    _named(kind, name)


def _check_port(target: str, ports: str) -> None:
    kind, _, name = target.partition("/")
    offered = {p["name"] for p in _named(kind, name)["spec"]["ports"]}
    wanted = ports.partition(":")[2]
    _demand(wanted in offered, f"{target} has no port {wanted!r}, but {sorted(offered)}")


def _check_selector(selector: str) -> None:
    wanted = dict(pair.split("=") for pair in selector.split(","))
    labels = []
    for manifest in released():
        labels.append(manifest["metadata"].get("labels", {}))
        spec = manifest.get("spec") or {}
        labels += [m["metadata"].get("labels", {}) for m in spec.get("volumeClaimTemplates", [])]
        if "template" in spec:
            labels.append(spec["template"]["metadata"].get("labels", {}))
    found = any(wanted.items() <= one.items() for one in labels)
    _demand(found, f"nothing in a release has {selector}")


def _schema(kind: str) -> dict[str, Any]:
    definition = next(d for d in DEFINITIONS if d.kind == kind)
    (version,) = to_crd(definition)["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def _check_patch(words: list[str], given: dict[str, str]) -> None:
    _demand(words[0] in names_of_resources(), f"no resource {words[0]!r}")
    _demand(given.get("--type") == "merge", "custom resources take --type merge")
    example = yaml.safe_load((REPO / "deploy/examples/vllm-advisory.yaml").read_text())
    patched = _merged(copy.deepcopy(example), json.loads(given["-p"]))
    jsonschema.validate(patched, _schema("GPUAutoscaler"))
    fields = _schema("GPUAutoscaler")["properties"]["spec"]["properties"]
    _demand(set(patched["spec"]) <= set(fields), f"no such field: {given['-p']}")


def _merged(into: Any, patch: Any) -> Any:
    for name, value in patch.items():
        into[name] = _merged(into.get(name, {}), value) if isinstance(value, dict) else value
    return into
