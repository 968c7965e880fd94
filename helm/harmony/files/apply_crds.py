"""Applies the custom resource definitions of this image: Helm never updates those of `crds/`.

Server-side apply with a field manager of its own; fields that somebody else set by another name are
taken over, since the definitions belong to Harmony.
"""

from __future__ import annotations

import os
import sys

import yaml

from services.kernel.errors import HarmonyError
from services.operator.resource.definitions import rendered
from services.operator.wire.http import Call, KubeError, KubeHttp, load_configuration

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?{query}"
QUERY = "fieldManager=harmony-crds&force=true"
APPLY = "application/apply-patch+yaml"


def main() -> int:
    """0: all are applied; 1: one was refused; 2: no API server is configured."""
    try:
        http = KubeHttp(load_configuration(os.environ.get("HARMONY_KUBE_URL", "")))
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    for text in rendered().values():
        manifest = yaml.safe_load(text)
        name = manifest["metadata"]["name"]
        path = PATH.format(name=name, query=QUERY)
        try:
            http.send(Call("patch", "customresourcedefinitions", path, manifest, APPLY))
        except KubeError as error:
            print(f"{name}: {error.message}", file=sys.stderr)
            return 1
        print(f"{name} applied")
    http.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
