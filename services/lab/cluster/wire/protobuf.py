"""Bodies in Kubernetes' protobuf form, which newer kubectls send for some built-in kinds.

Read are the kinds that kubectl makes by itself: `create namespace`, `create deployment`,
`autoscale`, `auth can-i`, `auth whoami`, `create token`, `drain`. Manifests come as JSON always. A
part that is not listed here is refused, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.resources import Obj

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Shape = Mapping[int, tuple[str, Any]]
"""Fields of a message by number: name and what it is (below), a Shape, or a list of one Shape."""
TEXT, TEXTS, COUNT, KEPT, FLAG, MAP, QUANTITY = "text", "texts", "count", "kept", "flag", "map", "q"
"""KEPT: a number whose zero has a meaning; that of a COUNT is its absence."""
SKIPPED = "skipped"
"""What the server sets itself."""

_META: Shape = {
    1: ("name", TEXT),
    2: ("generateName", TEXT),
    3: ("namespace", TEXT),
    4: ("selfLink", TEXT),
    5: ("uid", TEXT),
    6: ("resourceVersion", TEXT),
    7: ("generation", COUNT),
    8: ("creationTimestamp", SKIPPED),
    11: ("labels", MAP),
    12: ("annotations", MAP),
    14: ("finalizers", TEXTS),
}
_ATTRIBUTES: Shape = {
    1: ("namespace", TEXT),
    2: ("verb", TEXT),
    3: ("group", TEXT),
    4: ("version", TEXT),
    5: ("resource", TEXT),
    6: ("subresource", TEXT),
    7: ("name", TEXT),
}
_PATH: Shape = {1: ("path", TEXT), 2: ("verb", TEXT)}
_ACCESS: Shape = {
    1: ("resourceAttributes", _ATTRIBUTES),
    2: ("nonResourceAttributes", _PATH),
    3: ("user", TEXT),
    4: ("groups", TEXTS),
    6: ("uid", TEXT),
}
_DELETE: Shape = {
    1: ("gracePeriodSeconds", KEPT),
    2: ("preconditions", {1: ("uid", TEXT), 2: ("resourceVersion", TEXT)}),
    4: ("propagationPolicy", TEXT),
    5: ("dryRun", TEXTS),
}
_PORT: Shape = {1: ("name", TEXT), 3: ("containerPort", COUNT), 4: ("protocol", TEXT)}
_CONTAINER: Shape = {
    1: ("name", TEXT),
    2: ("image", TEXT),
    3: ("command", TEXTS),
    4: ("args", TEXTS),
    5: ("workingDir", TEXT),
    6: ("ports", [_PORT]),
    8: ("resources", {}),
    13: ("terminationMessagePath", TEXT),
    14: ("imagePullPolicy", TEXT),
    16: ("stdin", FLAG),
    17: ("stdinOnce", FLAG),
    18: ("tty", FLAG),
    20: ("terminationMessagePolicy", TEXT),
}
_POD: Shape = {
    2: ("containers", [_CONTAINER]),
    3: ("restartPolicy", TEXT),
    6: ("dnsPolicy", TEXT),
    7: ("nodeSelector", MAP),
    8: ("serviceAccountName", TEXT),
    9: ("serviceAccount", TEXT),
    10: ("nodeName", TEXT),
    11: ("hostNetwork", FLAG),
    12: ("hostPID", FLAG),
    13: ("hostIPC", FLAG),
    16: ("hostname", TEXT),
    17: ("subdomain", TEXT),
    19: ("schedulerName", TEXT),
    24: ("priorityClassName", TEXT),
}
_DEPLOYMENT: Shape = {
    1: ("replicas", KEPT),
    2: ("selector", {1: ("matchLabels", MAP)}),
    3: ("template", {1: ("metadata", _META), 2: ("spec", _POD)}),
    4: ("strategy", {1: ("type", TEXT)}),
    5: ("minReadySeconds", COUNT),
    7: ("paused", FLAG),
}
_METRIC_TARGET: Shape = {
    1: ("type", TEXT),
    2: ("value", QUANTITY),
    3: ("averageValue", QUANTITY),
    4: ("averageUtilization", COUNT),
}
_METRIC: Shape = {
    1: ("type", TEXT),
    4: ("resource", {1: ("name", TEXT), 2: ("target", _METRIC_TARGET)}),
}
_HPA: Shape = {
    1: ("scaleTargetRef", {1: ("kind", TEXT), 2: ("name", TEXT), 3: ("apiVersion", TEXT)}),
    2: ("minReplicas", KEPT),
    3: ("maxReplicas", COUNT),
    4: ("metrics", [_METRIC]),
}
_TOKEN: Shape = {1: ("audiences", TEXTS), 4: ("expirationSeconds", COUNT)}


def _object(spec: Shape | None = None) -> Shape:
    parts = {} if spec is None else {2: ("spec", spec)}
    return {1: ("metadata", _META), 3: ("status", SKIPPED), **parts}


_SHAPES: Mapping[tuple[str, str], Shape] = {
    ("v1", "Namespace"): _object({1: ("finalizers", TEXTS)}),
    ("v1", "ServiceAccount"): {1: ("metadata", _META)},
    ("v1", "ConfigMap"): {1: ("metadata", _META), 2: ("data", MAP)},
    ("v1", "DeleteOptions"): _DELETE,
    ("meta.k8s.io/v1", "DeleteOptions"): _DELETE,
    ("policy/v1", "Eviction"): {1: ("metadata", _META), 2: ("deleteOptions", _DELETE)},
    ("apps/v1", "Deployment"): _object(_DEPLOYMENT),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): _object(_HPA),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _object(_ACCESS),
    ("authorization.k8s.io/v1", "SubjectAccessReview"): _object(_ACCESS),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _object({1: ("namespace", TEXT)}),
    ("authentication.k8s.io/v1", "TokenRequest"): _object(_TOKEN),
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {
        1: ("metadata", _META),
        2: ("status", SKIPPED),
    },
}


def read_object(raw: bytes) -> Obj:
    """The object of a body.

    Raises:
        ApiFailure: 400 where it is no protobuf; 415 for a kind or a part that is not read here.
    """
    if not raw.startswith(_MAGIC):
        raise failures.bad_request("the body does not begin as Kubernetes' protobuf does")
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        head = dict(_fields(envelope.get(1, b"")))
        version, kind = _text(head.get(1, b"")), _text(head.get(2, b""))
        shape = _SHAPES.get((version, kind))
        if shape is None:
            raise _unread(f"{version} {kind}")
        found = _message(envelope.get(2, b""), shape, kind)
    except (DecodeError, TypeError, ValueError) as error:
        raise failures.bad_request(f"the body is no whole protobuf message: {error}") from error
    return {"apiVersion": version, "kind": kind, **found}


def _unread(what: str) -> failures.ApiFailure:
    return failures.unsupported_media_type(
        f"{MEDIA_TYPE} for {what}", ["application/json (a manifest, by kubectl apply -f)"]
    )


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message, in order."""
    message = Empty.FromString(raw)  # a message without fields of its own: all are unknown to it
    return ((field.field_number, field.data) for field in UnknownFieldSet(message))


def _text(raw: Any) -> str:
    if not isinstance(raw, bytes):
        raise TypeError("a number where a text was expected")
    return raw.decode()


def _message(raw: bytes, shape: Shape, where: str) -> Obj:
    found: Obj = {}
    for number, value in _fields(raw):
        if number not in shape:
            raise _unread(f"field {number} of {where}")
        name, kind = shape[number]
        if kind in (TEXTS, MAP) or (isinstance(kind, Sequence) and not isinstance(kind, str)):
            _add(found, name, value, kind)
        elif kind != SKIPPED and (kind == KEPT or value not in (0, b"")):
            read = _one(value, kind, f"{where}.{name}")
            if read != {}:
                found[name] = read
    return found


def _add(found: Obj, name: str, value: bytes, kind: Any) -> None:
    """Take in one entry of a list or a map."""
    if kind == TEXTS:
        found.setdefault(name, []).append(_text(value))
    elif kind == MAP:
        entry = dict(_fields(value))
        found.setdefault(name, {})[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    else:
        found.setdefault(name, []).append(_message(value, kind[0], name))


def _one(value: Any, kind: Any, where: str) -> Any:
    if kind == TEXT:
        return _text(value)
    if kind in (COUNT, KEPT):
        return int(value)
    if kind == FLAG:
        return bool(value)
    if kind == QUANTITY:
        return _text(dict(_fields(value)).get(1, b""))
    return _message(value, kind, where)
