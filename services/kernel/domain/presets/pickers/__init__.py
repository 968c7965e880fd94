"""Endpoint pickers: one that grew out of the other, so that they report the same."""

from services.kernel.domain.presets.pickers.gateway import GATEWAY
from services.kernel.domain.presets.pickers.llm_d import LLM_D

__all__ = ["GATEWAY", "LLM_D"]
