"""The exercises' checks, ``check_…(answer)``, a module an exercise or two; ``versions`` makes the notebooks.

A check answers at once with a ``Feedback``: right, or what is wrong and a hint.
"""

from lambdalab.exercises.content import check_content_copies, check_content_lambda, check_heads
from lambdalab.exercises.convolution import check_convolution
from lambdalab.exercises.costs import (
    check_attention_macs,
    check_batch_crossover,
    check_crossover,
    check_lambda_macs,
)
from lambdalab.exercises.defect import check_places, check_repair, check_test
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.hybrids import check_cheapest, check_hybrid, check_total
from lambdalab.exercises.rescue import check_last_norms, check_rescue, check_trained
from lambdalab.exercises.sequence import check_past, check_sequence
from lambdalab.exercises.sheet import check_content, check_output, check_position, check_weights, draw_sheet

__all__ = [
    "Feedback",
    "check_attention_macs",
    "check_batch_crossover",
    "check_cheapest",
    "check_content",
    "check_content_copies",
    "check_content_lambda",
    "check_convolution",
    "check_crossover",
    "check_heads",
    "check_hybrid",
    "check_lambda_macs",
    "check_last_norms",
    "check_output",
    "check_past",
    "check_places",
    "check_position",
    "check_repair",
    "check_rescue",
    "check_sequence",
    "check_test",
    "check_total",
    "check_trained",
    "check_weights",
    "draw_sheet",
]
