"""Figures: ``plot_*(data, ax=None) -> Axes``, a module a topic; ``show`` puts one into a notebook.

Signed values get a diverging map centred at zero, others a sequential one; both are readable with colour-blind eyes.
"""

from lambdalab.figures.base import new_axes, plot_matrix, plot_pictures, show
from lambdalab.figures.bench import plot_networks, plot_peers, plot_scaling
from lambdalab.figures.comparison import plot_learning_curves, plot_paired, plot_pareto, plot_seeds
from lambdalab.figures.context import plot_growth, plot_listening, plot_shape, plot_two_orders, write_bytes
from lambdalab.figures.cost import plot_claims, plot_costs, plot_power_laws, plot_rates, plot_shares, plot_timings
from lambdalab.figures.lambdas import (
    plot_content_lambdas,
    plot_each,
    plot_fields,
    plot_implied,
    plot_kernels,
    plot_tiles,
)
from lambdalab.figures.layer import (
    plot_accuracies,
    plot_embedding_rows,
    plot_first_step,
    plot_reading_orders,
    plot_shift,
    plot_softmax_effect,
    plot_two_ways,
)
from lambdalab.figures.listening import (
    plot_agreement,
    plot_changes,
    plot_energy,
    plot_explanations,
    plot_similarity,
    plot_without,
)
from lambdalab.figures.log import plot_causes, plot_log, plot_loudest, plot_norms, plot_restarts
from lambdalab.figures.network import plot_hybrids, plot_maps, plot_offset_use, plot_parts, plot_turns
from lambdalab.figures.orders import plot_crossovers, plot_orders, plot_predictions, plot_roofline, plot_steps
from lambdalab.figures.tables import plot_count, plot_printed, plot_waterfall
from lambdalab.figures.training import plot_curves, plot_learning_rate

__all__ = [
    "new_axes",
    "plot_accuracies",
    "plot_agreement",
    "plot_causes",
    "plot_changes",
    "plot_claims",
    "plot_content_lambdas",
    "plot_costs",
    "plot_count",
    "plot_crossovers",
    "plot_curves",
    "plot_each",
    "plot_embedding_rows",
    "plot_energy",
    "plot_explanations",
    "plot_fields",
    "plot_first_step",
    "plot_growth",
    "plot_hybrids",
    "plot_implied",
    "plot_kernels",
    "plot_learning_curves",
    "plot_learning_rate",
    "plot_listening",
    "plot_log",
    "plot_loudest",
    "plot_maps",
    "plot_matrix",
    "plot_networks",
    "plot_norms",
    "plot_offset_use",
    "plot_orders",
    "plot_paired",
    "plot_pareto",
    "plot_parts",
    "plot_peers",
    "plot_pictures",
    "plot_power_laws",
    "plot_predictions",
    "plot_printed",
    "plot_rates",
    "plot_reading_orders",
    "plot_restarts",
    "plot_roofline",
    "plot_scaling",
    "plot_seeds",
    "plot_shape",
    "plot_shares",
    "plot_shift",
    "plot_similarity",
    "plot_softmax_effect",
    "plot_steps",
    "plot_tiles",
    "plot_timings",
    "plot_turns",
    "plot_two_orders",
    "plot_two_ways",
    "plot_waterfall",
    "plot_without",
    "show",
    "write_bytes",
]
