"""Reasoning text about histories: what a teacher is asked, and how its text is cut up. Imports no torch."""

from lasar_kit.core.reasoning.request import ReasoningItem, ReasoningRequest
from lasar_kit.core.reasoning.strip import strip_recommendation

__all__ = ["ReasoningItem", "ReasoningRequest", "strip_recommendation"]
