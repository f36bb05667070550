"""Notebooks and figures for all eyes and none: headings in order, words for pictures, colours that all tell apart."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps, pyplot
from matplotlib.colors import Normalize

from lambdalab import figures
from lambdalab.figures.base import SIGNED, UNSIGNED

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("[!.]*.ipynb") if "source" not in path.parts)
DRAWN = [*(ROOT / "lambdalab/figures").glob("*.py"), *(ROOT / "lambdalab/explorers").glob("*.py")]
# Maps that colour-blind eyes read: each changes in lightness, or its two ends in blue against red.
SAFE = {"RdBu_r", "cividis", "gray"}
# How the three kinds of colour-blindness see linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN_BY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(name: str, kind: str, count: int = 17) -> np.ndarray:
    """Return a map's colours from end to end as such eyes see them, linear RGB (count, 3)."""
    colours = colormaps[name](np.linspace(0, 1, count))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.clip(linear @ np.transpose(SEEN_BY[kind]), 0, 1)


def lightness(linear: np.ndarray) -> np.ndarray:
    """Return CIE lightness, 0 to 100, of linear RGB (…, 3)."""
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix())
def test_a_notebooks_headings_begin_with_one_and_skip_none(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    prose = re.sub(r"^```.*?^```", "", prose, flags=re.MULTILINE | re.DOTALL)  # a comment of code is no heading
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix())
def test_a_notebooks_pictures_have_words_of_their_own(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [each for cell in cells for each in cell.get("outputs", []) if "image/png" in each.get("data", {})]
    alts = [each["metadata"].get("image/png", {}).get("alt", "") for each in outputs]
    assert all(len(alt) > 20 for alt in alts)
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert all(alt for alt in re.findall(r"!\[(.*?)\]\(", prose)) and "<img" not in prose


def test_figures_name_no_other_map():
    """What is given as cmap is SIGNED, UNSIGNED, gray, or made of the colour-blind palette."""
    allowed = {"SIGNED", "UNSIGNED", "'gray'", "None", "_shades(colour)", "colours"}
    found = set()
    for path in DRAWN:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            given = [each.value for each in getattr(node, "keywords", []) if each.arg == "cmap"]
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                given += [value for key, value in pairs if getattr(key, "value", None) == "cmap"]
            for value in given:
                found |= {
                    ast.unparse(each)
                    for each in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
                }
    assert {"SIGNED", "UNSIGNED"} <= found <= allowed
    assert {SIGNED, UNSIGNED, "gray"} == SAFE


def test_figures_take_their_colours_from_the_palette_for_all():
    for path in DRAWN:
        palettes = re.findall(r"color_palette\((.*?)[,)]", path.read_text(encoding="utf-8"))
        assert all(name == '"colorblind"' for name in palettes), path.name


@pytest.mark.parametrize("kind", SEEN_BY)
def test_the_maps_are_read_by_all_eyes(kind):
    steps = np.diff(lightness(seen(UNSIGNED, kind)))
    assert (steps > 0).all()  # more is lighter, for everybody
    both = seen(SIGNED, kind)
    light, middle = lightness(both), len(both) // 2
    assert (np.diff(light[: middle + 1]) > 0).all() and (np.diff(light[middle:]) < 0).all()
    apart = np.linalg.norm(both - both[::-1], axis=1)[: middle - 1]  # a value and its negative
    assert apart.min() > 0.05


def drawings() -> dict:
    """A figure of each function that draws signed numbers, of numbers that are mostly positive."""
    torch.manual_seed(0)
    maps = [torch.rand(4, 4) - 0.1 for _ in range(3)]
    return {
        "plot_matrix": lambda: figures.plot_matrix(maps[0]),
        "plot_tiles, one scale": lambda: figures.plot_tiles(maps, list("abc")),
        "plot_tiles, each its own": lambda: figures.plot_tiles(maps, list("abc"), shared=False),
        "plot_two_ways": lambda: figures.plot_two_ways(torch.zeros(1, 4, 4, dtype=torch.uint8), maps[0].abs(), maps[1]),
        "plot_shift": lambda: figures.plot_shift((maps[0], maps[1]), (maps[1], maps[2])),
        "plot_listening": lambda: figures.plot_listening(
            torch.zeros(1, 4, 4, dtype=torch.uint8), 5, maps[0].abs().flatten(), maps[1].flatten()
        ),
        "plot_similarity": lambda: figures.plot_similarity(maps[0]),
        "plot_kernels": lambda: figures.plot_kernels(torch.rand(4, 1, 3, 3) - 0.1),
    }


@pytest.mark.parametrize("name", drawings())
def test_signed_colours_are_centred_at_zero(name):
    figure = drawings()[name]().get_figure()
    images = [image for ax in figure.axes for image in ax.get_images() if image.get_array().ndim == 2]
    signed = [image for image in images if image.get_cmap().name == SIGNED]
    assert signed and all(type(image.norm) is Normalize for image in signed)
    assert all(image.norm.vmin == -image.norm.vmax for image in signed)
    assert all(image.norm.vmin >= 0 for image in images if image.get_cmap().name == UNSIGNED)
    pyplot.close(figure)
