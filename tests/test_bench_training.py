"""The training benchmark: both sides see the same pictures, augmented alike, in networks of one shape."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from lambdalab.bench.records import read_rows
from lambdalab.bench.report import gpu_markdown, training_markdown, training_table
from lambdalab.bench.training import (
    CASES,
    SIDES,
    Case,
    PictureByPicture,
    TrainingBench,
    choose_cases,
    make_loop,
    make_pictures,
)
from lambdalab.cli import main
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.original import OriginalLambdaLayer

ROOT = Path(__file__).resolve().parent.parent
TINY = Case("tiny", "lambda_resnet11_tiny", {"scope": 3}, size=8, crop=0, batch=6, steps=2)


def seen(side: str, case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """An epoch's pictures and labels, in an order that does not depend on the shuffling."""
    parts = list(make_loop(side, case).batches())
    images, labels = torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])
    order = images.flatten(1).double().sum(dim=1).argsort()
    return images[order], labels[order]


def test_both_sides_see_every_picture_once_normalised_alike(monkeypatch):
    monkeypatch.setattr("torchvision.transforms.RandomHorizontalFlip.forward", lambda self, image: image)
    monkeypatch.setattr("lambdalab.bench.training.Augment.__call__", lambda self, images, generator: images)
    ours, theirs = (seen(side, TINY) for side in SIDES)
    assert ours[0].shape == (12, 3, 8, 8) and torch.equal(ours[1], theirs[1])
    assert torch.allclose(ours[0], theirs[0], atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_each_side_shifts_and_flips_at_random(side):
    case = TINY._replace(crop=2)
    still, (moved, _) = make_pictures(case), seen(side, case)
    plain = still.normalise(still.train.images)
    kept = sum(any(torch.allclose(picture, other, atol=1e-6) for other in plain) for picture in moved)
    assert kept < len(moved)  # of 50 places and mirror images one is the picture itself
    assert moved.std() > 0.5


def test_the_networks_have_one_shape_and_each_its_own_layer(monkeypatch):
    networks = []
    monkeypatch.setattr("lambdalab.bench.training._our_loop", lambda network, *rest: networks.append(network))
    monkeypatch.setattr("lambdalab.bench.training._original_loop", lambda network, *rest: networks.append(network))
    for side in SIDES:
        make_loop(side, CASES["laptop"])
    ours, theirs = (
        [module for module in network.modules() if isinstance(module, LambdaLayer | OriginalLambdaLayer)]
        for network in networks
    )
    assert {type(layer) for layer in ours} == {LambdaLayer} and {type(layer) for layer in theirs} == {
        OriginalLambdaLayer
    }
    letters = [[(each.dim_k, each.heads, each.dim_u, each.scope) for each in layers] for layers in (ours, theirs)]
    assert letters[0] == letters[1] == [(16, 4, 1, 7)] * 3
    weights = [
        sum(each.weight.numel() for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear))
        for network in networks
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("side", SIDES)
def test_an_epoch_trains(side, monkeypatch):
    networks, make = [], torch.optim.SGD

    def remember(parameters, **options):
        networks.append(list(parameters))
        return make(networks[-1], **options)

    monkeypatch.setattr("torch.optim.SGD", remember)
    loop = make_loop(side, TINY)
    before = [weight.detach().clone() for weight in networks[0]]
    loop.epoch()
    changed = [not torch.equal(old, new) for old, new in zip(before, networks[0], strict=True)]
    assert sum(changed) > len(changed) / 2


def test_pictures_come_one_by_one_as_torchvision_gives_them():
    data = make_pictures(TINY)
    image, label = PictureByPicture(data.train, lambda picture: picture)[3]
    assert (image.mode, image.size, label) == ("RGB", (8, 8), int(data.train.labels[3]))
    assert image.getpixel((5, 2)) == tuple(data.train.images[3, :, 2, 5].tolist())


def test_rows_count_pictures_and_compare_with_ours():
    rows = TrainingBench(repeats=1, seconds=0).rows([TINY])
    assert [row["side"] for row in rows] == list(SIDES) and rows[0]["ratio"] == 1
    for row in rows:
        assert row["pictures"] == 12 and row["peak_mb"] is None
        assert row["images_per_second"] * row["seconds"] == pytest.approx(12)
        assert row["seconds_per_1000"] == pytest.approx(1000 * row["seconds"] / 12)


ROW = {"model": "m", "size": 8, "batch": 6, "side": SIDES[0], "device": "cpu", "seconds_per_1000": 2.0}
ROW |= {
    "images_per_second": 500.0,
    "ratio": 1.0,
    "ratio_low": 1.0,
    "ratio_high": 1.0,
    "peak_mb": 10.0,
    "peak_ratio": 1.0,
}


def test_tables_show_ratios_to_ours():
    other = {**ROW, "side": SIDES[1], "seconds_per_1000": 5.0, "ratio": 2.5, "ratio_low": 2.25, "ratio_high": 3.0}
    rows = [ROW, {**other, "peak_mb": 30.0, "peak_ratio": 3.0}]
    assert training_table(rows).lines[1] == ["m", "8²", "6", SIDES[1], "5", "500", "2.50±0.38", "30", "3.00"]
    assert training_markdown(rows).splitlines()[2] == "| m | 8×8, 6 | cpu | 2 | 5 | 2.5 (2.2 to 3.0) × | 3.0 × |"


@pytest.mark.parametrize(
    ("mark", "name", "markdown"),
    [("training", "training.csv", training_markdown), ("gpu", "gpu_step.csv", gpu_markdown)],
)
def test_the_readmes_tables_are_drawn_from_the_committed_measurements(mark, name, markdown):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", readme, re.S)
    assert shown[1] == markdown(read_rows(ROOT / "data" / "benchmarks" / name))


def test_cases_are_chosen_by_name():
    assert choose_cases(None) == list(CASES.values())
    assert choose_cases("laptop", batch=4, steps=1)[0][-2:] == (4, 1)
    with pytest.raises(UserError, match="did you mean 'readme'"):
        choose_cases("readmi")


def test_the_command_prints_and_writes(tmp_path):
    quick = ["bench", "training", "--networks", "laptop", "--batch", "2", "--steps", "1", "--repeats", "1"]
    done = CliRunner().invoke(main, [*quick, "--seconds", "0", "--memory", "--csv", str(tmp_path / "found.csv")])
    assert done.exit_code == 0 and "original's way" in done.stdout
    assert [row["peak_mb"] > 0 for row in read_rows(tmp_path / "found.csv")] == [True, True]
    wrong = CliRunner().invoke(main, [*quick, "--networks", "x", "--csv", str(tmp_path / "none.csv")])
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1 and not (tmp_path / "none.csv").exists()
