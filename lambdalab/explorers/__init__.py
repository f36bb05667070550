"""Widgets to try things with: thin shells over ``figures`` and what it draws."""

from lambdalab.explorers.base import Explorer
from lambdalab.explorers.cost import CostExplorer
from lambdalab.explorers.lambdas import LambdaExplorer
from lambdalab.explorers.network import NetworkExplorer
from lambdalab.explorers.scope import ScopeExplorer
from lambdalab.explorers.shape import ShapeExplorer
from lambdalab.explorers.tables import TableExplorer, count_explorer

__all__ = [
    "CostExplorer",
    "Explorer",
    "LambdaExplorer",
    "NetworkExplorer",
    "ScopeExplorer",
    "ShapeExplorer",
    "TableExplorer",
    "count_explorer",
]
