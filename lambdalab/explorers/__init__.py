"""Widgets to try things with: thin shells over ``figures`` and what it draws."""

from lambdalab.explorers.base import Explorer

__all__ = ["Explorer"]
