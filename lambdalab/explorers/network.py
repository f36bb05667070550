"""An explorer of networks: what stem, picture size, stages and the layer's numbers do to maps and parameters."""

from itertools import groupby, product

import ipywidgets
import torch

from lambdalab.explorers.base import Explorer
from lambdalab.figures.network import plot_maps
from lambdalab.models import ModelConfig, ResNet, count_parameters, list_models, model_config
from lambdalab.shapes import lambda_maps, usable_offsets, usable_positions, usable_share

SIZES = (8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256)
SCOPES = (3, 5, 7, 9, 11, 15, 19, 23, 27, 31)


class NetworkExplorer(Explorer):
    """Controls for a network's shape; the maps of its stages to scale; its parameters, and how many can be of use.

    Args:
        model: the network to start with. The others on offer have as many stages.
        size: height and width of the pictures, in pixels.
        stem: "imagenet" or "cifar"; ``None``, here and below: the model's own.
        stages: a letter a stage, C or L.
        dim_k: depth k of queries and keys.
        heads: number h of queries that share a lambda.
        dim_u: intra-depth u.
        scope: odd width of the position lambdas' window.

    Raises:
        UserError: if a value to start with is not allowed.
    """

    def __init__(self, model: str = "lambda_resnet50", size: int = 224, **shape):
        start = model_config(model, **{name: value for name, value in shape.items() if value is not None})
        count = len(start.stages)
        named = [name for name in list_models("lambda_*") if not name.endswith("_original")]
        models = [name for name in named if len(model_config(name).stages) == count]
        patterns = ["".join(letters) for letters in product("CL", repeat=count)]
        controls = {
            "model": _choice(models if model in models else [model, *models], model),
            "size": _slider(SIZES, size, "picture [px]"),
            "stem": _choice(["imagenet", "cifar"], start.stem),
            "stages": _choice(patterns, start.stages),
            "dim_k": _slider((1, 2, 4, 8, 16, 32), start.dim_k, "depth k"),
            "heads": _slider((1, 2, 4, 8, 16), start.heads, "heads h"),
            "dim_u": _slider((1, 2, 4, 8), start.dim_u, "intra-depth u"),
            "scope": _slider(SCOPES, start.scope, "scope [px]"),
        }
        super().__init__(draw_network, controls, explain_network)


def draw_network(model: str, size: int, **shape):
    """Draw the explorer's figure, the maps of a network, and return its Axes."""
    return plot_maps(model_config(model, **shape), size)


def explain_network(model: str, size: int, **shape) -> str:
    """Return the explorer's text as HTML."""
    return "<br>".join(network_lines(model_config(model, **shape), size))


def network_lines(config: ModelConfig, size: int) -> list[str]:
    """Say what a network costs and what of its position parameters can be of use, with the numbers put in.

    Args:
        config: the network's shape.
        size: height and width of the pictures.

    Returns:
        Lines of text: the parameters, then for each size of map the offsets that occur on it, then the share.
    """
    with torch.device("meta"):
        lines = [f"{count_parameters(ResNet(config)):,} parameters, {config.num_classes} classes"]
    usable, total = usable_positions(config, size)
    if not total:
        return [*lines, "no position parameters"]
    r = config.scope
    for side, layers in groupby(lambda_maps(config, size)):
        number = len(list(layers))
        formula = f"min({r}, 2·{side} − 1)² = {usable_offsets(r, side)} of {r * r} offsets"
        lines.append(f"{number} lambda layer{'s' * (number > 1)} on {side}×{side}: {formula}")
    share = f"{100 * usable_share(config, size):.1f} %"
    return [*lines, f"{usable:,} of {total:,} position parameters can ever get a gradient: {share}"]


def _choice(options: list[str], value: str) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=options, value=value)


def _slider(options: tuple[int, ...], value: int, description: str) -> ipywidgets.SelectionSlider:
    """A slider over these options and the value to start with."""
    return ipywidgets.SelectionSlider(options=sorted({*options, value}), value=value, description=description)
