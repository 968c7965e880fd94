"""What is advised for every GPU type to which nodes are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from services.operator.plan.supply import TypeSupply
from services.operator.stored.headroom_repository import load_advice


def with_headroom(
    connection: Connection, supplies: Mapping[str, TypeSupply], oldest: datetime
) -> dict[str, TypeSupply]:
    """The supplies with what is advised for those that are provisioned.

    Args:
        connection: An open transaction.
        supplies: By GPU type.
        oldest: Advice of before then counts as none.
    """
    provisioned = [name for name, each in supplies.items() if each.is_provisioned]
    advice = load_advice(connection, oldest) if provisioned else {}
    found = dict(supplies)
    for name in provisioned:
        headroom = supplies[name].headroom
        known = None if headroom.is_off else advice.get(name)
        found[name] = replace(supplies[name], headroom=replace(headroom, advice=known))
    return found
