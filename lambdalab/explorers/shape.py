"""An explorer of what attention and a lambda layer cost: drag a size, see the bytes and the multiply-adds."""

from dataclasses import replace

import ipywidgets

from lambdalab.explorers.base import Explorer
from lambdalab.figures.context import plot_shape, write_bytes
from lambdalab.formulas import Count, Shape, count_attention, count_lambda

LARGEST = {"n": 4096, "m": 4096, "k": 64, "v": 256, "h": 16, "b": 256}
MEANING = {"n": "queries", "m": "context", "k": "key depth", "v": "value depth", "h": "heads", "b": "batch"}


class ShapeExplorer(Explorer):
    """Sliders n, m, k, v, h and b above the bars of ``plot_shape`` and the formulas with the numbers put in.

    Args:
        shape: where the sliders stand at first; its u is kept at 1.
    """

    def __init__(self, shape: Shape):
        sliders = {
            letter: ipywidgets.IntSlider(
                value=getattr(shape, letter),
                min=1,
                max=max(largest, getattr(shape, letter)),
                description=f"{letter}, {MEANING[letter]}",
                layout={"width": "32em"},
            )
            for letter, largest in LARGEST.items()
        }
        super().__init__(lambda **sizes: plot_shape(Shape(**sizes)), sliders, lambda **sizes: explain(Shape(**sizes)))


def explain(shape: Shape) -> str:
    """Return the formulas of both counts with the numbers put in, as HTML, for a lambda layer with u = 1."""
    shape = replace(shape, u=1)
    attention, lambdas = count_attention(shape), count_lambda(shape)
    rows = (
        ("attention stores", "b·h·n·m", attention.numbers, f" = {write_bytes(attention.bytes)}"),
        ("lambda stores", "n·m·k + b·n·k·v + b·k·v", lambdas.numbers, f" = {write_bytes(lambdas.bytes)}"),
        ("attention multiplies", "b·h·n·m·(k + v)", attention.multiply_adds, ""),
        ("lambda multiplies", "b·n·m·k·v + b·m·k·v + b·h·n·k·v", lambdas.multiply_adds, ""),
    )
    cell = '<td style="text-align: left">'  # Jupyter's own style is flush right
    lines = [
        f"<tr>{cell}<b>{name}</b>&emsp;</td>{cell}{formula}&emsp;</td>"
        f"{cell}= {put_in(formula, shape)} = <b>{total:,}</b>{end}</td></tr>"
        for name, formula, total, end in rows
    ]
    return f"<table>{''.join(lines)}</table><p>{compare(attention, lambdas)}</p>"


def put_in(formula: str, shape: Shape) -> str:
    """Put the numbers in: 'b·h·n' → '2·4·64'."""
    return "".join(str(vars(shape).get(letter, letter)) for letter in formula)


def compare(attention: Count, lambdas: Count) -> str:
    """Say in a sentence which of the two stores and multiplies more, and by what factor."""
    ratios = {
        "stores": lambdas.numbers / attention.numbers,
        "multiplies": lambdas.multiply_adds / attention.multiply_adds,
    }
    said = [f"{verb} {_times(ratio)}" for verb, ratio in ratios.items()]
    return f"Here the lambda layer {said[0]} attention, and {said[1]} it does."


def _times(ratio: float) -> str:
    if ratio == 1:
        return "exactly as much as"
    return f"{max(ratio, 1 / ratio):.3g} times {'more' if ratio > 1 else 'less'} than"
