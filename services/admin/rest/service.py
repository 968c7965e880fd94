"""The workload that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from services.admin.rest import repository, translate
from services.kernel.domain import WorkloadSpec
from services.kernel.errors import NotFound


class WorkloadKey(NamedTuple):
    """Namespace and name of a workload; as text `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that a request names."""

    id: int
    step_s: int
    spec: WorkloadSpec


def find_workload(connection: Connection, key: WorkloadKey) -> Workload:
    """The workload of a key.

    Raises:
        NotFound: There is none.
    """
    row = repository.load_workload_id(connection, *key)
    if row is None:
        raise NotFound(f"workload {key} does not exist")
    return Workload(row["id"], row["step_s"], translate.spec_of(row["spec_text"]))


KUBERNETES = "kubernetes"
