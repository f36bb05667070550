"""What the first steps of training do to the norms of a network's weights.

A weight W in front of a batch norm does not change the output by growing, but the larger it is, the less a step turns
it: its effective learning rate is lr/‖W‖². So one huge step freezes a network.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution_norms(model: nn.Module) -> dict[str, float]:
    """Return ‖W‖ of every convolution's weight by the module's name, in the network's order."""
    return {name: m.weight.norm().item() for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}


@dataclass(frozen=True)
class StepNorms:
    """One step of training: its loss, its gradient's norm before clipping, and the weights after it.

    ``first`` and ``median`` are ‖W‖ after the step over ‖W‖ before the first: of the network's first convolution, and
    the median over all convolutions.
    """

    loss: float
    gradient: float
    first: float
    median: float


def norms_over_steps(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    clip_norm: float = 0.0,
) -> list[StepNorms]:
    """Train a copy of a model by SGD, a step a batch, and measure each step; the model stays as it is.

    Args:
        model: pictures → logits (b, classes).
        batches: normalised pictures (b, C, H, W) and labels (b,).
        lr: learning rate.
        momentum: of SGD.
        weight_decay: on all weights.
        clip_norm: largest norm of the gradient; 0: no clipping.
    """
    student = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(student.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    before, steps = convolution_norms(student), []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(student(images), labels)
        loss.backward()
        gradient = nn.utils.clip_grad_norm_(student.parameters(), clip_norm or math.inf).item()
        optimizer.step()
        growth = [norm / before[name] for name, norm in convolution_norms(student).items()]
        steps.append(StepNorms(loss.item(), gradient, growth[0], median(growth)))
    return steps
