"""Two objects of one name are told apart by their uid, where the API knows it."""

from __future__ import annotations

import pytest

from services.cli.kubectl.cluster import Cluster
from services.cli.kubectl.same_cluster import check_same_cluster
from services.kernel.errors import Conflict
from tests.unit.cli.kubectl.views import workload

RESOURCE = {"metadata": {"name": "llama", "namespace": "serving", "uid": "u-1"}}
SERVER = "http://harmony.test"


class Elsewhere(Cluster):
    """A cluster that is not called."""

    def __init__(self) -> None:
        self._host, self._name = "https://eu.test", "eu"


@pytest.mark.parametrize("uid", [None, "u-1"])
def test_what_follows_the_object_or_is_not_known_passes(uid: str | None) -> None:
    check_same_cluster(Elsewhere(), RESOURCE, SERVER, workload(object_uid=uid))


def test_another_object_is_refused_with_both_named() -> None:
    other = workload(object_uid="u-2", cluster="us")
    with pytest.raises(Conflict) as caught:
        check_same_cluster(Elsewhere(), RESOURCE, SERVER, other)
    assert caught.value.message == (
        "serving/llama is two objects of one name: uid u-1 in context 'eu' (https://eu.test), uid "
        "u-2 in cluster 'us' of http://harmony.test; nothing was written; name one cluster with "
        "--context, --cluster and --server"
    )
