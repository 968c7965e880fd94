"""The verbs: what each does with the cluster, and what it answers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from services.lab.cluster.admission.access import User
from services.lab.cluster.cluster import SimulatedCluster
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.objects import APPLY, Write
from services.lab.cluster.storage.resources import Obj, ResourceType
from services.lab.cluster.storage.scaling import scale_of
from services.lab.cluster.storage.selection import Selector, make_selector
from services.lab.cluster.storage.store import Name, StoredObject
from services.lab.cluster.wire import protobuf
from services.lab.cluster.wire.routes import ApiCall
from services.lab.cluster.wire.tables import columns_of, to_table


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    raw: bytes
    code: int = 200
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """An HTTP body, read when it is needed."""

    raw: bytes
    media_type: str

    def json(self) -> Any:
        """The body as JSON, or as YAML or protobuf where the media type says so.

        Raises:
            ApiFailure: 400 when it is none of them.
        """
        if self.media_type == protobuf.MEDIA_TYPE:
            return protobuf.read_object(self.raw)
        try:
            if "yaml" in self.media_type:
                return yaml.safe_load(self.raw)
            return orjson.loads(self.raw)
        except (orjson.JSONDecodeError, yaml.YAMLError) as error:
            raise failures.bad_request(f"the body of the request is not readable: {error}") from (
                error
            )

    def object(self) -> Obj:
        """The body as one object."""
        found = self.json()
        if not isinstance(found, dict):
            raise failures.bad_request("the body of the request must be an object")
        return found


def selector_of(call: ApiCall) -> Selector:
    """Selection of a LIST, WATCH or collection DELETE."""
    query = call.query
    return make_selector(
        call.rtype,
        call.namespace,
        query.get("labelSelector", ""),
        query.get("fieldSelector", ""),
        call.name,
    )


class Handling:
    """Answers calls, one at a time."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._objects = cluster.objects
        self._store = cluster.store

    def answer(self, call: ApiCall, body: Body, user: User, agent: str) -> Reply:
        """Do what a call asks; WATCH is not for here.

        Raises:
            ApiFailure: The answer when it cannot be done.
        """
        if call.subresource == "token":
            return self._issue_token(call)
        if call.subresource == "eviction":
            return self._evict(call, body)
        if call.rtype.group in ("authorization.k8s.io", "authentication.k8s.io"):
            review = self._cluster.access.review(call.rtype, body.object(), user)
            return Reply(orjson.dumps(review), 201)
        if call.verb == "list":
            return self._list(call)
        if call.verb == "get":
            stored = self._store.raw(call.rtype, call.namespace, call.name)
            if stored is not None and call.subresource != "scale":
                return Reply(self._raw(call.rtype, stored))
            obj = self._objects.require(call.rtype, call.namespace, call.name)
            return Reply(self._shown(call, obj))
        write = self._write(call, agent)
        if call.verb == "create":
            obj = self._objects.create(call.rtype, call.namespace, body.object(), write)
            return Reply(self._shown(call, obj), 201, tuple(write.warnings))
        if call.verb == "delete":
            return self._delete(call, body, write)
        if call.verb == "deletecollection":
            return self._delete_collection(call, body, write)
        return self._change(call, body, write)

    def as_table(self, call: ApiCall, reply: Reply) -> Reply:
        """The answer of a GET or LIST as kubectl asks for it."""
        answer = orjson.loads(reply.raw)
        is_list = call.verb == "list"
        objects = answer["items"] if is_list else [answer]
        meta = answer["metadata"] if is_list else {}
        columns = columns_of(self._store, call.rtype)
        table = to_table(objects, columns, meta, self._cluster.now())
        return Reply(orjson.dumps(table), reply.code, reply.warnings)

    def _write(self, call: ApiCall, agent: str) -> Write:
        query = call.query
        return Write(
            manager=query.get("fieldManager") or agent.split("/", 1)[0] or "unknown",
            at=self._cluster.now(),
            subresource=call.subresource,
            is_dry_run=query.get("dryRun") == "All",
            is_strict=query.get("fieldValidation") == "Strict",
            is_forced=call.has("force"),
        )

    def _shown(self, call: ApiCall, obj: Obj) -> bytes:
        if call.subresource == "scale":
            return orjson.dumps(scale_of(call.rtype, obj))
        if obj["apiVersion"] != call.rtype.api_version:
            obj = {**obj, "apiVersion": call.rtype.api_version}
        return orjson.dumps(obj)

    def _change(self, call: ApiCall, body: Body, write: Write) -> Reply:
        """PUT and PATCH."""
        is_created = False
        if call.verb == "patch" and body.media_type in (APPLY, "application/apply-patch+json"):
            if not call.query.get("fieldManager"):
                raise failures.unprocessable(
                    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is '
                    "required for apply patch"
                )
            if call.subresource == "scale":
                raise failures.unsupported_media_type(body.media_type, [])
            obj, is_created = self._objects.apply(
                call.rtype, call.namespace, call.name, body.object(), write
            )
        else:
            old = self._objects.require(call.rtype, call.namespace, call.name)
            if call.verb == "update":
                obj = self._objects.replace(call.rtype, old, body.object(), write)
            else:
                obj = self._objects.patch(call.rtype, old, body.media_type, body.json(), write)
        code = 201 if is_created else 200
        return Reply(self._shown(call, obj), code, tuple(write.warnings))

    def _list(self, call: ApiCall) -> Reply:
        selector, rtype = selector_of(call), call.rtype
        limit = int(call.query.get("limit") or 0)
        after = _read_token(call.query.get("continue", ""))
        version = after[0] if after else str(self._store.version)
        raws: list[bytes] = []
        rest = 0
        last: tuple[str, str] | None = None
        for stored in self._store.each(rtype, call.namespace):
            key = (stored.facts.namespace, stored.facts.fields["metadata.name"])
            if (after and key <= after[1]) or not selector.matches(stored.facts):
                continue
            if limit and len(raws) == limit:
                rest += 1
                continue
            raws.append(self._raw(rtype, stored))
            last = key
        meta: dict[str, Any] = {"resourceVersion": version}
        if rest and last:
            meta |= {"continue": _make_token(version, last), "remainingItemCount": rest}
        return Reply(
            b'{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":[%s]}'
            % (rtype.kind.encode(), rtype.api_version.encode(), orjson.dumps(meta), b",".join(raws))
        )

    def _raw(self, rtype: ResourceType, stored: StoredObject) -> bytes:
        if stored.api_version == rtype.api_version:
            return stored.raw
        return orjson.dumps({**stored.obj, "apiVersion": rtype.api_version})

    def _options(self, call: ApiCall, body: Body) -> Obj:
        options = body.object() if body.raw else {}
        policy = call.query.get("propagationPolicy")
        return {"propagationPolicy": policy, **options} if policy else options

    def _delete(self, call: ApiCall, body: Body, write: Write) -> Reply:
        old = self._objects.require(call.rtype, call.namespace, call.name)
        options = self._options(call, body)
        write.is_dry_run = write.is_dry_run or options.get("dryRun") == ["All"]
        obj = self._objects.delete(call.rtype, old, options, write)
        still = self._store.get(call.rtype, call.namespace, call.name)
        if still is not None or call.rtype.kind == "Pod":
            return Reply(self._shown(call, still or obj))
        meta = old["metadata"]
        details: dict[str, Any] = {
            "name": call.name,
            "kind": call.rtype.plural,
            "uid": meta["uid"],
        }
        if call.rtype.group:
            details["group"] = call.rtype.group
        return Reply(orjson.dumps(_success(details)))

    def _delete_collection(self, call: ApiCall, body: Body, write: Write) -> Reply:
        selector = selector_of(call)
        options = self._options(call, body)
        found = [
            stored
            for stored in self._store.each(call.rtype, call.namespace)
            if selector.matches(stored.facts)
        ]
        for stored in found:
            namespace, name = stored.facts.namespace, stored.facts.fields["metadata.name"]
            current = self._store.get(call.rtype, namespace, name)
            if current is not None:
                self._objects.delete(call.rtype, current, options, write)
        return Reply(
            b'{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"%d"},"items":[%s]}'
            % (
                call.rtype.kind.encode(),
                call.rtype.api_version.encode(),
                self._store.version,
                b",".join(stored.raw for stored in found),
            )
        )

    def _issue_token(self, call: ApiCall) -> Reply:
        self._objects.require(call.rtype, call.namespace, call.name)
        token = self._cluster.access.issue_token(call.namespace, call.name)
        review = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": call.name, "namespace": call.namespace},
            "spec": {"audiences": [], "expirationSeconds": 3_600},
            "status": {"token": token, "expirationTimestamp": self._cluster.now()},
        }
        return Reply(orjson.dumps(review), 201)

    def _evict(self, call: ApiCall, body: Body) -> Reply:
        pod = self._objects.require(call.rtype, call.namespace, call.name)
        options = (body.object() if body.raw else {}).get("deleteOptions") or {}
        self._cluster.evict(pod, options)
        return Reply(orjson.dumps(_success({})), 201)


def _success(details: Mapping[str, Any]) -> Obj:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": dict(details),
    }


def _make_token(version: str, last: Name) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([version, *last])).decode()


def _read_token(text: str) -> tuple[str, Name] | None:
    if not text:
        return None
    try:
        version, namespace, name = orjson.loads(base64.urlsafe_b64decode(text))
    except ValueError as error:
        raise failures.bad_request(f"continue key is not valid: {error}") from error
    return version, (namespace, name)
