"""Cells, as the API returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.admin.rest.schemas import Out


class CellGpusView(Out):
    """GPUs of a type in a cell."""

    gpu_type: str = Field(examples=["H100"])
    n_workloads: int = Field(examples=[12])
    used_gpus: int | None = Field(
        description="GPUs that the targets ask for; null: not known of all workloads", examples=[48]
    )
    is_budgeted: bool = Field(description="False: nothing limits the type here")
    budget_gpus: int | None = Field(
        description="GPUs that may be used; null: there is no budget, or it cannot be read",
        examples=[64],
    )
    cell_gpus: int | None = Field(
        description="Of a total over the cells, what this one may hold now; null: there is none",
        examples=[None],
    )
    price_usd_per_gpu_hour: float | None = Field(
        description="Losses that one GPU more would avert, at the newest decision; 0: not scarce; "
        "null: there is none, or minimum replicas alone exceed the budget",
        examples=[0.5],
    )


class LedgerView(Out):
    """What this database and another have given to each other of a GPU type, ever."""

    peer: str = Field(description="DatabaseIdentity of the other", examples=["1767571200000000"])
    given_gpus: int = Field(examples=[4])
    taken_gpus: int = Field(description="Of what the other has given", examples=[0])


class TotalView(Out):
    """What this database has of a total of GPUs over several."""

    gpu_type: str = Field(examples=["H100"])
    gpus: int = Field(description="What its cells may hold together", examples=[64])
    price_usd_per_gpu_hour: float | None = Field(
        description="What one GPU more was worth to it at its last exchange; null: not known",
        examples=[0.5],
    )
    is_short: bool = Field(description="The least that must run needs more than it has")
    exchanged_at: datetime | None = Field(description="When that was found; null: never")
    ledgers: list[LedgerView]


class SharesView(Out):
    """What other databases of cells read of this one, to exchange GPUs by price."""

    identity: str = Field(description="Of this database", examples=["1767571200000000"])
    name: str = Field(description="That of its first cluster", examples=["us-east"])
    totals: list[TotalView]


class CellView(Out):
    """A cluster with what decides about it."""

    cluster: str = Field(examples=["default"])
    n_workloads: int = Field(description="Active ones", examples=[120])
    n_stale: int = Field(description="Active ones without a decision that is valid now")
    decided_at: datetime | None = Field(description="Time of the newest decision")
    oldest_decided_at: datetime | None = Field(
        description="The oldest of the newest decisions of its workloads"
    )
    operator_seen_at: datetime | None = Field(
        description="When its operator last confirmed that it runs; null: never"
    )
    gpus: list[CellGpusView] = Field(description="By GPU type")


class PeerView(Out):
    """Another database of cells, as it was read a few seconds ago at most."""

    peer: str = Field(examples=["eu-west"])
    is_reachable: bool
    reason: str = Field(description="Why it cannot be read; empty: it can", examples=[""])
    seen_at: datetime = Field(description="When it was asked; an answer is kept for 5 s")
    unreachable_at: datetime | None = Field(
        description="When it was first found without an answer, by the process that answers here"
    )
    cells: list[CellView] = Field(description="Its cells; none while it cannot be read")


class PeersView(Out):
    """All other databases of cells that this one reads."""

    items: list[PeerView]
