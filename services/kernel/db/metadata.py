"""The metadata that all tables belong to, and how their keys, indexes and times are made."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def time_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    """A column of aware times."""
    return Column(name, DateTime(timezone=True), primary_key=primary_key, nullable=nullable)
