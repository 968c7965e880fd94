"""The workload that a request names."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from services.admin.rest import repository, translate
from services.kernel.domain import WorkloadSpec
from services.kernel.errors import NotFound


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that a request names."""

    id: int
    namespace: str
    name: str
    step_s: int
    spec: WorkloadSpec


def find_workload(connection: Connection, namespace: str, name: str) -> Workload:
    """The workload named.

    Raises:
        NotFound: There is none.
    """
    row = repository.load_workload_id(connection, namespace, name)
    if row is None:
        raise NotFound(f"workload {namespace}/{name} does not exist")
    spec = translate.spec_of(row["spec_text"])
    return Workload(row["id"], namespace, name, row["step_s"], spec)


KUBERNETES = "kubernetes"
