"""How hard a network is pulled at its first step, and by which picture: the measurements behind γ = 0.

A lambda layer's y = λ(x)ᵀq(x) is quadratic in x, and batch norm sets the scale of a batch, not of each picture in it.
So in a deep network without γ = 0 one picture's energy outgrows all others', block after block, and the gradient with
it; the cross-entropy at step 0 does not show it.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gradient_norm(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return ‖∂L/∂w‖, L the mean cross-entropy of a batch in training mode, w all trainable weights together.

    Works on a copy: weights, their ``.grad``, batch-norm statistics and the mode stay as they are.

    Args:
        model: pictures → logits (b, classes).
        images: normalised pictures (b, C, H, W).
        labels: class indices (b,).
    """
    student = copy.deepcopy(model).train()
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    loss = F.cross_entropy(student(images), labels)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients if gradient is not None))


@torch.no_grad()
def energy_shares(model: nn.Module, images: Tensor, layers: Sequence[str]) -> Tensor:
    """Return every picture's share of a batch's energy at the outputs y of some layers: Σy_b² / Σ_b Σy_b².

    A row of shares 1/b says that all pictures are equally loud, a 1 that one drowns out all others. Works on a copy,
    in training mode.

    Args:
        model: any model.
        images: its input, (b, C, H, W).
        layers: names of submodules, as ``model.named_modules()`` gives them.

    Returns:
        (len(layers), b), rows that sum to 1, in the order of ``layers``.
    """
    student, shares = copy.deepcopy(model).train(), {}

    def measure(name: str):
        def hook(module: nn.Module, inputs: tuple, y: Tensor) -> None:
            energy = y.double().square().flatten(1).sum(dim=1)
            shares[name] = energy / energy.sum()

        return hook

    for name in layers:
        student.get_submodule(name).register_forward_hook(measure(name))
    student(images)
    return torch.stack([shares[name] for name in layers])
