"""The Kubernetes API as the kubectl plugin calls it: a GPUAutoscaler's annotations, no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import orjson
import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

from services.kernel.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    HarmonyError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from services.operator.resource.fields import GROUP, VERSION

FIELD_MANAGER = "kubectl-harmony"
DEFAULT_NAMESPACE = "default"
_PLURAL = "gpuautoscalers"
_TIMEOUT_S = (5.0, 30.0)
_NO_KIND = "could not find the requested resource"
_ERRORS: dict[int, type[HarmonyError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
}
_TELLING = (config.ConfigException, OSError, yaml.YAMLError)
_UNREADABLE = (*_TELLING, AttributeError, KeyError, TypeError, ValueError)
"""What the client raises on a file that is no kubeconfig: it does not look before it reads."""
Object = Mapping[str, Any]


def namespace_of_context(context: str | None) -> str:
    """Namespace of a context of the kubeconfig (None: the current one), as kubectl takes it.

    Without a kubeconfig it is `default`: reading needs only the admin API.

    Raises:
        ConfigurationError: The context named does not exist, or the kubeconfig cannot be read.
    """
    return str(_context(context).get("namespace") or DEFAULT_NAMESPACE)


def _context(name: str | None) -> Object:
    """A context; a kubeconfig need not have a current one for another to be named."""
    contexts, current = _contexts()
    if name is not None and name not in contexts:
        raise ConfigurationError(f"--context {name!r} is not in the kubeconfig")
    return contexts.get(name or current, {})


def _contexts() -> tuple[dict[str, Object], str]:
    """Contexts of the kubeconfig by name, and the current one; none where there is no kubeconfig.

    Of several files the first one that names a current context counts, as kubectl has it; the
    client for Python would take the last, and so another cluster than `kubectl get` beside it.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        merger = KubeConfigMerger(_files() or KUBE_CONFIG_DEFAULT_LOCATION)  # type: ignore[no-untyped-call]  # the client has no types here
        known = {} if merger.config is None else merger.config.value
        written = [one.value for one in known.get("contexts") or ()]
        contexts: dict[str, Object] = {
            str(one["name"]): dict(one.get("context") or {}) for one in written
        }
        current = (one.get("current-context") for one in merger.config_files.values())
        return contexts, next((str(name) for name in current if name), "")
    except config.ConfigException:
        return {}, ""
    except _UNREADABLE as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> ConfigurationError:
    told = str(error) if isinstance(error, _TELLING) else f"it is no kubeconfig ({error!r})"
    return ConfigurationError(f"the kubeconfig cannot be used: {told}; set KUBECONFIG or --context")


def _files() -> str | None:
    """KUBECONFIG as it is now; None: the default place."""
    return os.environ.get("KUBECONFIG") or None


class Cluster:
    """GPUAutoscalers of one cluster, with the user's own credentials."""

    def __init__(self, context: str | None) -> None:
        """Use the kubeconfig's context `context`; None: the current one.

        Raises:
            ConfigurationError: There is no usable kubeconfig.
        """
        settings = client.Configuration()
        self._name = context or _contexts()[1]
        try:
            config.load_kube_config(_files(), self._name or None, settings)  # type: ignore[no-untyped-call]  # as above
        except _UNREADABLE as error:
            raise _unusable(error) from error
        settings.retries = False
        self._host = settings.host
        self._context = _context(context)
        self._client = client.ApiClient(settings)
        self._api = client.CustomObjectsApi(self._client)

    @property
    def label(self) -> str:
        """The cluster as an error names it."""
        return f"context {self._name!r} ({self._host})"

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.close()

    def user(self) -> str:
        """Name of the user by the API server; where it gives none, by the kubeconfig.

        Kubernetes before 1.28 has no SelfSubjectReview.
        """
        api = client.AuthenticationV1Api(self._client)
        try:
            status = api.create_self_subject_review(client.V1SelfSubjectReview()).status
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            status = None
        info = status.user_info if status else None
        return str((info and info.username) or self._context.get("user") or "")

    def autoscaler(self, namespace: str, name: str) -> Object:
        """A GPUAutoscaler.

        Raises:
            HarmonyError: The API server refuses or cannot be reached.
        """
        return self._call(self._api.get_namespaced_custom_object, namespace, name)

    def annotate(
        self, namespace: str, name: str, changes: Mapping[str, str | None], is_dry_run: bool
    ) -> Object:
        """Change annotations of a GPUAutoscaler; None takes one away.

        Only the annotations named are sent, so nothing else that somebody changed is undone.

        Raises:
            HarmonyError: The API server refuses or cannot be reached.
        """
        return self._call(
            self._api.patch_namespaced_custom_object,
            namespace,
            name,
            body={"metadata": {"annotations": dict(changes)}},
            field_manager=FIELD_MANAGER,
            _content_type="application/merge-patch+json",
            **({"dry_run": "All"} if is_dry_run else {}),
        )

    def _call(self, method: Any, namespace: str, name: str, **options: Any) -> Object:
        where = {"group": GROUP, "version": VERSION, "plural": _PLURAL}
        try:
            answer = method(
                **where, namespace=namespace, name=name, _request_timeout=_TIMEOUT_S, **options
            )
        except ApiException as error:
            raise _refusal(error, f"{namespace}/{name}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"the API server {self._host} cannot be reached: {error}") from error
        return dict(answer)


def _refusal(error: ApiException, what: str) -> HarmonyError:
    try:
        answer = orjson.loads(error.body or b"")
    except orjson.JSONDecodeError:
        answer = None
    reason = answer.get("message") if isinstance(answer, dict) else None
    message = str(reason or error.reason or f"HTTP {error.status}")
    if _NO_KIND in message:
        message += "; are Harmony's CRDs installed in this cluster?"
    kind = _ERRORS.get(int(error.status or 0), HarmonyError)
    return kind(f"GPUAutoscaler {what}: {message}")
