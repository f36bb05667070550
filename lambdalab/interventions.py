"""What changing something shows: another input, a lambda taken out, a part of the picture covered.

The implied weights of ``capture`` say what a layer sums, not what the network's answer depends on. ``occlusion`` and
``gradient_times_input`` ask the answer, and ``rank_correlation`` says how far two such maps agree.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.capture import capture_lambdas, choose_layers
from lambdalab.captured import Captured, precise
from lambdalab.equations import apply_lambda
from lambdalab.errors import UserError
from lambdalab.listening import check_part
from lambdalab.readings import on_output, read_layer

BATCH = 128  # covered copies of a picture that a model sees at once


class Change(NamedTuple):
    """‖after − before‖ / ‖before‖ of the lambdas; 0: unchanged, √2: as different as unrelated ones of equal size."""

    content: float
    position: float


def lambda_change(before: Captured, after: Captured, moved: tuple[int, int] = (0, 0)) -> Change:
    """Return how much a layer's lambdas differ between two records of equal size, such as of a shifted picture.

    Args:
        before: the record.
        after: the record to compare with it.
        moved: rows and columns: λp at n before is compared with λp at n + moved after, where both are inside. λc
            belongs to no pixel.

    Raises:
        UserError: if the maps differ in size, or nothing is left of a picture moved so far.
    """
    if before.size != after.size:
        raise UserError(f"the records' maps differ in size: {before.size} and {after.size}; compare equal ones")
    ranges = [range(max(0, -by), min(length, length - by)) for length, by in zip(before.size, moved, strict=True)]
    if not all(ranges):
        raise UserError(f"moved by {moved}, a map of {before.size} keeps no pixel; move it less")
    gap, whole = 0.0, 0.0
    for row in ranges[0]:
        old = before.position_lambdas([(row, column) for column in ranges[1]])
        new = after.position_lambdas([(row + moved[0], column + moved[1]) for column in ranges[1]])
        gap, whole = gap + (new - old).square().sum().item(), whole + old.square().sum().item()
    content = 0.0
    if before.content is not None:
        old, new = precise(before.content), precise(after.content)
        content = ((new - old).norm() / old.norm()).item()
    return Change(content, (gap / whole) ** 0.5 if whole else 0.0)


@contextmanager
def switched_off(model: nn.Module, part: str, layers: Sequence[str] | None = None) -> Iterator[None]:
    """Take the content or the position lambdas out of a trained model's sums y = y_c + y_p while in the block.

    The rest of the network, batch norms included, stays as it was trained; it has never met what it gets now.

    Args:
        model: any model that ``capture_lambdas`` can read.
        part: "content" or "position".
        layers: names of lambda layers; ``None``: all.

    Raises:
        UserError: if there is no such part or layer.
    """
    check_part(part, ("content", "position"))
    chosen = choose_layers(model, layers).values()
    handles = [handle for layer in chosen for handle in on_output(layer, _without(layer, part))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _without(layer: nn.Module, part: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what replaces the layer's output y = y_c + y_p by one part of it."""

    def act(x: Tensor, y: Tensor) -> Tensor:
        queries, keys, values = read_layer(layer, x)[:3]
        content = torch.zeros_like(y)
        if keys is not None:
            applied = apply_lambda(queries, torch.einsum("bmuk,bmuv->bkv", keys, values))
            content = applied.transpose(2, 3).reshape(y.shape)
        return y - content if part == "content" else content

    return act


def disturbances(layer: nn.Module, x: Tensor, moved: tuple[int, int] = (1, 1), seed: int = 0) -> dict[str, Change]:
    """Return how one lambda layer's lambdas answer to its input shifted, and to its pixels shuffled.

    The shift is circular: what leaves at one border enters at the other. Both only permute the context, so λc cannot
    change. λp belongs to a pixel; it moves along with a shift except for what the borders cut off or let in.

    Args:
        layer: a lambda layer of any known make.
        x: its input, (b, dim, H, W), as ``input_of`` has it.
        moved: rows and columns of the shift.
        seed: of the order that the pixels are shuffled into.
    """
    order = torch.randperm(x.shape[2] * x.shape[3], generator=torch.Generator().manual_seed(seed)).to(x.device)
    shuffled = x.flatten(2)[:, :, order].reshape(x.shape)
    before, shift, shuffle = (_record(layer, each) for each in (x, x.roll(moved, dims=(2, 3)), shuffled))
    return {
        "shifted, at the same pixel": lambda_change(before, shift),
        "shifted, at the pixel moved along": lambda_change(before, shift, moved),
        "pixels shuffled": lambda_change(before, shuffle),
    }


def _record(layer: nn.Module, x: Tensor) -> Captured:
    with capture_lambdas(layer) as record, torch.no_grad():
        layer(x)
    return record["layer"]


@torch.no_grad()
def input_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Return what a lambda layer of a model gets when the model reads images, (b, dim, H, W).

    Raises:
        UserError: if the model has no lambda layer of this name.
    """
    inputs: list[Tensor] = []
    module = choose_layers(model, layer)[layer]
    handle = module.register_forward_pre_hook(lambda module, given: inputs.append(given[0].clone()))
    try:
        model(images)
    finally:
        handle.remove()
    return inputs[-1]


def gradient_times_input(model: nn.Module, picture: Tensor, target: int) -> Tensor:
    """Return Σ_c x_c · ∂logit/∂x_c for each pixel of a picture, (H, W): the first-order share in a class's logit.

    Evaluation mode; the model's mode and gradients stay as they are. Source: Shrikumar et al. 2016, arXiv 1605.01713.

    Args:
        model: pictures → logits (b, classes).
        picture: normalised, (C, H, W).
        target: index of the class.

    Raises:
        UserError: if there is no such class.
    """
    x = picture.detach().requires_grad_()
    with _evaluation(model), torch.enable_grad():
        # Two copies: for a batch of one, batch norm's gradients can be wrong on a CPU (torch 2.15), silently, where
        # they come in with transposed strides, as from the sums of the community code's and timm's lambda layers.
        first = _logits(model, x.expand(2, *x.shape), target)[0]
        (gradient,) = torch.autograd.grad(first, x)
    return (gradient * x).detach().sum(dim=0)


@torch.no_grad()
def occlusion(model: nn.Module, picture: Tensor, target: int, patch: int = 3) -> Tensor:
    """Return how far a class's logit falls when a square of the picture is covered, for each middle pixel, (H, W).

    Covered pixels are 0, the mean of normalised pictures; H·W forward passes in evaluation mode.
    Source: Zeiler and Fergus 2014, arXiv 1311.2901.

    Args:
        model: pictures → logits (b, classes).
        picture: normalised, (C, H, W).
        target: index of the class.
        patch: odd side of the square, in pixels.

    Raises:
        UserError: if there is no such class, or patch is even or below 1.
    """
    if patch < 1 or patch % 2 == 0:
        raise UserError(f"patch must be odd and at least 1, so that it has a middle; got {patch}")
    height, width = picture.shape[1:]
    rows, columns = (torch.arange(length, device=picture.device) for length in (height, width))
    falls = []
    with _evaluation(model):
        whole = _logits(model, picture.unsqueeze(0), target)
        for middles in torch.cartesian_prod(rows, columns).split(BATCH):
            far_y, far_x = (
                (middles[:, axis, None] - line).abs() > patch // 2 for axis, line in enumerate((rows, columns))
            )
            kept = far_y[:, :, None] | far_x[:, None, :]
            falls.append(whole - _logits(model, picture * kept.unsqueeze(1), target))
    return torch.cat(falls).reshape(height, width)


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rank correlation of two maps of one picture; the finer is averaged to the coarser's pixels.

    1: the same order of pixels, 0: no relation, −1: the opposite order; nan if a map is constant.

    Args:
        first: (H, W).
        second: (H', W').
    """
    from scipy.stats import spearmanr

    coarse = [min(lengths) for lengths in zip(first.shape, second.shape, strict=True)]
    maps = [
        F.adaptive_avg_pool2d(each[None].detach().cpu().double(), coarse).flatten().numpy() for each in (first, second)
    ]
    if any(numbers.min() == numbers.max() for numbers in maps):
        return float("nan")
    return float(spearmanr(*maps).statistic)


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode while in the block."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _logits(model: nn.Module, images: Tensor, target: int) -> Tensor:
    logits = model(images)
    if not 0 <= target < logits.shape[1]:
        raise UserError(f"there is no class {target}; give one from 0 to {logits.shape[1] - 1}")
    return logits[:, target]
