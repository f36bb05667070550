"""A replay's pictures: their name, their checksum, and the lossless twins that every result is measured on as well."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from lambdalab import Run, UserError, load_data
from lambdalab.cli import main
from lambdalab.pictures import through_jpeg
from lambdalab.queue import Source
from lambdalab.replay_data import checksum, load_replay_data

SOURCE = Source("folder", "Pictures, JPEG q75", "jpeg", "png")
QUEUE = """
datasets:
  pictures: {dataset: folder, folder: jpeg, lossless: png, label: "Pictures, JPEG q75"}
recipes:
  tiny: {epochs: 2, batch_size: 16, warmup_epochs: 0.5}
laptop:
  - {name: row, answers: does it work, model: resnet11_tiny, data: pictures, recipe: tiny, seeds: [0, 1]}
"""


@pytest.fixture
def data(tmp_path):
    """Bright and dark noise of 16×16 pixels as JPEG, and every third test picture without loss."""
    root, chance = tmp_path / "data", np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 15)):
        for label, name in enumerate(("bright", "dark")):
            for number in range(count):
                pixels = chance.integers(0, 190, (16, 16, 3), dtype=np.uint8) + np.uint8(60 * (1 - label))
                lossless = part == "test" and number % 3 == 1
                for kind in ("jpeg", "png") if lossless else ("jpeg",):
                    path = root / kind / part / name / f"{number:04}.{kind[:3].replace('jpe', 'jpg')}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path, quality=75)
    for name in ("bright", "dark"):  # the reader wants a training part
        (root / "png" / "train" / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(root / "png" / "test" / name / "0001.png", root / "png" / "train" / name / f"{number}.png")
    return root


def test_each_lossless_picture_stands_beside_the_same_one_as_stored(data):
    pictures = load_replay_data(SOURCE, data)
    assert len(pictures.lossless.labels) == len(pictures.stored.labels) == 10
    for row, (label, number) in enumerate((label, number) for label in (0, 1) for number in range(1, 15, 3)):
        folder = data / "jpeg" / "test" / ("bright", "dark")[label] / f"{number:04}.jpg"
        stored = torch.from_numpy(np.array(Image.open(folder))).permute(2, 0, 1)
        assert torch.equal(pictures.stored.images[row], stored) and pictures.stored.labels[row] == label
        assert pictures.lossless.labels[row] == label
        difference = (pictures.lossless.images[row].float() - stored.float()).abs().mean()
        assert 0 < difference < 60  # lossy, but the same picture


def test_results_carry_the_name_and_both_accuracies(data, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "configs").mkdir(parents=True)
    (home / "configs" / "replays.yaml").write_text(QUEUE, encoding="utf-8")
    monkeypatch.setenv("LAMBDALAB_HOME", str(home))
    done = CliRunner().invoke(main, ["replay", "--device", "cpu", "--data", str(data)])
    assert done.exit_code == 0, done.output
    run = Run(home / "data" / "results" / "row-seed0")
    assert "on Pictures, JPEG q75 (30 pictures)" in run.summary["headline"]
    assert run.config["data"]["name"] == "Pictures, JPEG q75"
    for path in run.folder.glob("*.json"):
        assert str(tmp_path) not in path.read_text()
    pictures = load_replay_data(SOURCE, data)
    model = run.load_model("last")
    for name, split in (("lossless_top1", pictures.lossless), ("lossless_stored_top1", pictures.stored)):
        with torch.no_grad():
            guesses = model(pictures.data.normalise(split.images)).argmax(dim=1)
        assert run.summary[name] == (guesses == split.labels).double().mean().item()
    assert run.summary["lossless_pictures"] == 10
    other = home / "data" / "results" / "row-seed1"
    assert not (other / "last.safetensors").exists() and (other / "summary.json").exists()  # one seed's weights do
    assert "Pictures, JPEG q75 | 2 |" in CliRunner().invoke(main, ["results"]).stdout


def test_pictures_that_go_through_jpeg_keep_their_parts_and_have_twins_in_all_test_pictures(data):
    true = load_replay_data(Source("folder", "True", "jpeg"), data).data
    pictures = load_replay_data(Source("folder", "Through JPEG", "jpeg", jpeg=20), data)
    assert torch.equal(pictures.lossless.images, true.test.images) and pictures.stored is pictures.data.test
    for part in ("train", "val", "test"):
        before, after = getattr(true, part), getattr(pictures.data, part)
        assert torch.equal(before.labels, after.labels) and before.images.shape == after.images.shape
        assert torch.equal(after.images, through_jpeg(before.images, 20)), part
        assert 5 < (before.images.float() - after.images.float()).abs().mean() < 60
    config = pictures.data.config
    assert (pictures.data.name, config["jpeg"], true.config["jpeg"]) == ("Through JPEG", 20, None)
    assert config["pixels"] == checksum(pictures.data) != true.config["pixels"]


def test_without_lossless_pictures_a_result_says_nothing_of_them(data):
    shutil.rmtree(data / "png")
    said = []
    pictures = load_replay_data(SOURCE, data, said.append)
    assert pictures.lossless is None and pictures.lossless_results(None, None) == {} and "png" in said[0]


def test_a_lossless_picture_that_is_no_test_picture_is_refused(data):
    path = data / "png" / "test" / "dark" / "0001.png"
    path.rename(path.with_name("0099.png"))
    with pytest.raises(UserError, match=r"test/dark/0099, which .*jpeg lacks"):
        load_replay_data(SOURCE, data)
    shutil.rmtree(data / "png" / "test")
    with pytest.raises(UserError, match=r"no folder test/"):
        load_replay_data(SOURCE, data)


def test_the_folder_is_asked_for_by_name(tmp_path):
    with pytest.raises(UserError, match=r"Pictures, JPEG q75 needs the folder .*jpeg.*--data"):
        load_replay_data(SOURCE, tmp_path)


def test_the_checksum_tells_pictures_apart_and_not_where_they_are(data, tmp_path):
    first = load_replay_data(SOURCE, data).data.config
    moved = data.rename(tmp_path / "moved")
    assert load_replay_data(SOURCE, moved).data.config == first and json.dumps(first)
    path = moved / "jpeg" / "train" / "dark" / "0000.jpg"
    Image.new("RGB", (16, 16)).save(path)
    assert load_replay_data(SOURCE, moved).data.config["pixels"] != first["pixels"]
    assert checksum(load_data("digits")) == checksum(load_data("digits"))
