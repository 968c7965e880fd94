"""The admin application beside the operator."""

from tests.integration.operator.controls_api import api

__all__ = ["api"]
