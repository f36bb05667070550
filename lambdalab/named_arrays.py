"""A captured layer as an ``xarray.Dataset``: the paper's letters are the dimensions, pixels and offsets coordinates."""

import torch
from torch import Tensor

DIMENSIONS = {
    "queries": "bhnk",
    "keys": "bmuk",
    "values": "bmuv",
    "embedding": ("k", "u", "r_y", "r_x"),
    "content": "bkv",
    "output": "bhnv",
    "bias": "k",
}


def name_arrays(captured, pixels: list[tuple[int, int]]):
    """Return the parts of a ``capture.Captured`` as an ``xarray.Dataset``; what is switched off is left out.

    Args:
        captured: one layer's record.
        pixels: where to add position lambdas, ``position`` (b, pixel, k, v).
    """
    import numpy
    import xarray

    parts = {name: (tuple(dims), getattr(captured, name)) for name, dims in DIMENSIONS.items()}
    if pixels:
        parts["position"] = (("b", "pixel", "k", "v"), captured.position_lambdas(pixels))
    made = xarray.Dataset({name: (dims, _array(part)) for name, (dims, part) in parts.items() if part is not None})
    rows, columns = numpy.indices(captured.size).reshape(2, -1)
    places = {f"{letter}_row": (letter, rows) for letter in "nm"}
    places |= {f"{letter}_column": (letter, columns) for letter in "nm"}
    if captured.embedding is not None:
        places |= {axis: numpy.arange(made.sizes[axis]) - made.sizes[axis] // 2 for axis in ("r_y", "r_x")}
    if pixels:
        places |= {"pixel_row": ("pixel", [row for row, _ in pixels])}
        places |= {"pixel_column": ("pixel", [column for _, column in pixels])}
    height, width = captured.size
    return made.assign_coords(places).assign_attrs(height=height, width=width, scope=captured.scope or "global")


def _array(part: Tensor):
    """A tensor as a numpy array; numpy has no bfloat16."""
    part = part.detach().cpu()
    return (part.float() if part.dtype == torch.bfloat16 else part).numpy()
