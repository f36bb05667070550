"""What the layer benchmark measures: 20 shapes with a local scope, 6 with the global context, or any by its name.

A name says it all: ``b32-c64-32x32-u4-r23`` are 32 pictures of 64 channels and 32×32 pixels, u = 4, scope 23.
"""

import re
from dataclasses import dataclass
from itertools import product

from lambdalab.cost import pairs
from lambdalab.errors import UserError
from lambdalab.layers import check_shape

_NAME = re.compile(r"b(\d+)-c(\d+)-(\d+)x(\d+)-u(\d+)-(?:r(\d+)|global)(?:-k(\d+))?(?:-h(\d+))?")


@dataclass(frozen=True)
class LayerShape:
    """A layer and its input: (batch, dim, *size) → (batch, dim, *size), with the paper's letters k, h, u, r."""

    batch: int
    dim: int
    size: tuple[int, int]
    dim_u: int = 1
    scope: int | None = 23  # None: the global context
    dim_k: int = 16
    heads: int = 4

    def __post_init__(self):
        size = None if self.scope else self.size
        shape = {"batch": self.batch, "dim": self.dim, "dim_u": self.dim_u, "dim_k": self.dim_k}
        check_shape(heads=self.heads, dim_out=self.dim, scope=self.scope, size=size, **shape)

    @property
    def name(self) -> str:
        """The shape as text that ``parse`` reads; k and h only where they are not 16 and 4."""
        where = f"r{self.scope}" if self.scope else "global"
        name = f"b{self.batch}-c{self.dim}-{self.size[0]}x{self.size[1]}-u{self.dim_u}-{where}"
        return name + f"-k{self.dim_k}" * (self.dim_k != 16) + f"-h{self.heads}" * (self.heads != 4)

    def flops(self) -> int:
        """FLOPs that a forward pass needs in the order with the fewest, two to a multiply-add.

        Products alone: Q, K and V; the content lambda and its application; and the position term over the P pairs
        (query, context) inside both scope and picture, as min(P·u·k·v + n·h·k·v, P·u·h·(k + v)): lambdas first, or
        maps first. A backward pass needs twice as many.
        """
        n, k, v, h, u = self.size[0] * self.size[1], self.dim_k, self.dim // self.heads, self.heads, self.dim_u
        inside = pairs(self.size, self.scope, "inside")
        projections = n * self.dim * (h * k + u * k + u * v)
        content = n * u * k * v + n * h * k * v
        position = min(inside * u * k * v + n * h * k * v, inside * u * h * (k + v))
        return 2 * self.batch * (projections + content + position)


def parse(name: str) -> LayerShape:
    """Return the shape of a whole name.

    Raises:
        UserError: if it is none, or no layer has this shape.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"'{name}' is no shape; write it as b32-c64-32x32-u1-r23 or b4-c128-28x28-u1-global-k16-h4")
    batch, dim, height, width, dim_u, scope, dim_k, heads = (None if x is None else int(x) for x in match.groups())
    return LayerShape(batch, dim, (height, width), dim_u, scope, dim_k or 16, heads or 4)


def standard_shapes() -> list[LayerShape]:
    """The shapes of CIFAR's networks at batch 32, those of ImageNet's at batch 4, and both with the global context."""
    cifar, imagenet = {32: 64, 16: 128, 8: 256, 4: 512}, {56: 64, 28: 128, 14: 256, 7: 512}  # channels by side
    local = [
        LayerShape(32, dim, (side, side), dim_u, scope)
        for (side, dim), dim_u, scope in product(cifar.items(), (1, 4), (23, 7))
    ]
    local += [LayerShape(4, dim, (side, side)) for side, dim in imagenet.items()]
    whole = [(32, 128, 16), (32, 256, 8), (32, 512, 4), (4, 128, 28), (4, 256, 14), (4, 512, 7)]
    return local + [LayerShape(batch, dim, (side, side), scope=None) for batch, dim, side in whole]


def choose(wanted: str | None) -> list[LayerShape]:
    """Return the standard shapes that a filter names, or shapes of the user's own.

    Args:
        wanted: alternatives with commas between them, each a whole name or some of a name's parts with hyphens:
            ``32x32-u4,global`` are the standard shapes with 32×32 pixels and u = 4, and those with global context.

    Raises:
        UserError: if an alternative matches none of the standard shapes and is not a whole name.
    """
    shapes = standard_shapes()
    if wanted is None:
        return shapes
    found = []
    for alternative in wanted.split(","):
        parts = set(alternative.strip().split("-"))
        matching = [shape for shape in shapes if parts <= set(shape.name.split("-"))]
        if not matching and not _NAME.fullmatch(alternative.strip()):
            known = sorted({part for shape in shapes for part in shape.name.split("-")})
            raise UserError(
                f"no standard shape has the parts '{alternative.strip()}'; there are {', '.join(known)}; "
                "or give a whole name such as b8-c96-20x30-u2-r15"
            )
        found += matching or [parse(alternative.strip())]
    return list(dict.fromkeys(found))
