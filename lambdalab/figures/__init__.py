"""Figures: ``plot_*(data, ax=None) -> Axes``, a module a topic; ``show`` puts one into a notebook.

Signed values get a diverging map centred at zero, others a sequential one; both are readable with colour-blind eyes.
"""

from lambdalab.figures.base import new_axes, plot_matrix, plot_pictures, show
from lambdalab.figures.layer import plot_two_ways
from lambdalab.figures.training import plot_curves, plot_learning_rate

__all__ = [
    "new_axes",
    "plot_curves",
    "plot_learning_rate",
    "plot_matrix",
    "plot_pictures",
    "plot_two_ways",
    "show",
]
