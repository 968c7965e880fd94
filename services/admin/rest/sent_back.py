"""Documents that are read, changed and sent back, with what only a read has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from services.admin.rest.schemas import In
from services.kernel.errors import InvalidInput

_BY_TIME = frozenset({"is_in_force"})
"""What another moment says otherwise, without anybody's change."""


class SentBack(In):
    """A document to write, which may also hold what only its read has.

    What cannot be set is taken where it is as it stands, so that a document may be sent back as it
    was read. Where it is another it is refused by name: dropped in silence it would seem to be set.

    Attributes:
        READ: The document as it is read.
        INSTEAD: By field what to do where it is to be another.
        OTHERWISE: The same of the fields that `INSTEAD` does not name.
    """

    READ: ClassVar[type[BaseModel]]
    INSTEAD: ClassVar[Mapping[str, str]] = {}
    OTHERWISE: ClassVar[str] = "leave it out"
    _beside: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _beside_what_is_written(
        cls, data: Any, handler: ModelWrapValidatorHandler[SentBack]
    ) -> SentBack:
        if not isinstance(data, dict):
            return handler(data)
        names = cls.READ.model_fields.keys() - cls.model_fields.keys()
        made = handler({name: value for name, value in data.items() if name not in names})
        made._beside = {name: value for name, value in data.items() if name in names}
        return made

    def check_unchanged(self, stands: Mapping[str, Any], pointer: str = "") -> None:
        """Refuse what cannot be set and is not as it stands.

        Args:
            stands: The document as JSON would show it now.
            pointer: JSON pointer of this document in the request's body.

        Raises:
            InvalidInput: Names the first such field, both values, and what to do.
        """
        for name, value in self._beside.items():
            if name in _BY_TIME or value == stands[name]:
                continue
            instead = self.INSTEAD.get(name, self.OTHERWISE)
            raise InvalidInput(
                f"{name}={_shown(value)}: cannot be set here and is {_shown(stands[name])}; "
                f"{instead}",
                f"{pointer}/{name}",
            )

    def is_as_read(self, stands: Mapping[str, Any]) -> bool:
        """Check whether it is the whole document, as it stands.

        One without what only a read has says what is to hold, whoever else says so already.
        """
        if not self._beside:
            return False
        try:
            as_read = self.model_validate(stands)
        except ValidationError:  # no document that is taken is such a one
            return False
        return as_read.model_dump(exclude_unset=True) == self.model_dump(exclude_unset=True)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
