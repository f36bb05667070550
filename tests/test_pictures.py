"""A folder of picture files: what is read from it, and what is refused in one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from lambdalab.data import check_data, load_data
from lambdalab.errors import UserError
from lambdalab.pictures import read_folder, through_jpeg


def save(path, image=None):
    """Write a picture, by default 6×5 random pixels of its own, making the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is None:
        random = np.random.default_rng(list(str(path).encode()))
        image = Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    image.save(path)


def write_folder(root, **parts):
    """Write ``part={"class": count}`` as PNG files."""
    for part, classes in parts.items():
        for name, count in classes.items():
            for i in range(count):
                save(root / part / name / f"{i:02}.png")
    return root


def refused(call, *words):
    """Check that `call` is refused in one line that has all the words."""
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(str(word) in str(caught.value) for word in words), str(caught.value)


def pixels(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def test_folder_is_read_pixel_by_pixel(tmp_path):
    write_folder(tmp_path, train={"b": 5, "a": 3}, val={"a": 2}, test={"b": 1, "a": 1})
    for clutter in ("train/.ipynb_checkpoints/x.png", "train/a/._00.png"):
        save(tmp_path / clutter)
    (tmp_path / "train/a/notes.txt").write_text("not a picture")
    parts, classes = read_folder(tmp_path)
    assert classes == ("a", "b")
    assert {part: labels.tolist() for part, (_, labels) in parts.items()} == {
        "train": [0, 0, 0, 1, 1, 1, 1, 1],
        "val": [0, 0],
        "test": [0, 1],
    }
    files = sorted((tmp_path / "train").glob("[ab]/[0-9]*.png"))
    assert torch.equal(parts["train"][0], torch.stack([pixels(path) for path in files]))
    data = load_data("folder", data_dir=tmp_path)
    assert [len(part.labels) for part in (data.train, data.val, data.test)] == [8, 2, 2]
    assert (data.size, data.channels, data.config["data_dir"]) == ((6, 5), 3, str(tmp_path))


@pytest.mark.parametrize("given", [{}, {"val": {"a": 1}}, {"test": {"a": 1, "b": 1}}])
def test_folder_parts_that_are_missing_are_split_off_from_train(tmp_path, given):
    write_folder(tmp_path, train={"a": 20, "b": 12}, **given)
    data, other = (load_data("folder", data_dir=tmp_path, val_fraction=0.2, split_seed=s) for s in (0, 1))
    test = [5, 3] if "test" not in given else [1, 1]
    left = [15, 9] if "test" not in given else [20, 12]
    val = [round(0.2 * count) for count in left] if "val" not in given else [1, 0]
    counts = [torch.bincount(part.labels, minlength=2).tolist() for part in (data.val, data.test)]
    assert counts == [val, test]
    everything = torch.cat([data.train.images, data.val.images, data.test.images])
    assert len(everything.unique(dim=0)) == len(everything) == len(list(tmp_path.glob("*/*/*.png")))
    assert torch.equal(data.test.images, other.test.images)
    assert torch.equal(data.val.images, other.val.images) == ("val" in given)


def test_smallest_folder_has_a_picture_of_each_class_in_each_part(tmp_path):
    data = load_data("folder", data_dir=write_folder(tmp_path, train={"a": 3, "b": 3}))
    assert [part.labels.tolist() for part in (data.train, data.val, data.test)] == [[0, 1]] * 3


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
CLEAR = np.dstack([np.full((8, 8, 3), 10, np.uint8), np.where(GREY < 128, 0, 255).astype(np.uint8)])
MODES = {
    "grey.png": (Image.fromarray(GREY), GREY[..., None]),
    "black_and_white.png": (
        Image.fromarray(GREY).point(lambda v: 255 * (v > 99), "1"),
        255 * (GREY > 99)[..., None],
    ),
    "palette.png": (Image.fromarray(GREY).convert("P"), GREY[..., None]),
    "sixteen_bit.png": (Image.fromarray(GREY.astype(np.uint16) * 256 + 255), GREY[..., None]),
    "transparent.png": (Image.fromarray(CLEAR), np.where(CLEAR[..., 3:] == 0, 255, 10)),
    "grey_and_transparent.png": (
        Image.fromarray(CLEAR).convert("LA"),
        np.where(CLEAR[..., 3:] == 0, 255, 10),
    ),
    "lossless.bmp": (Image.fromarray(GREY), GREY[..., None]),
    "UPPER.JPG": (Image.new("L", (8, 8), 77), np.full((8, 8, 1), 77)),
    "print.jpeg": (Image.new("CMYK", (8, 8)), np.full((8, 8, 1), 255)),
    "web.webp": (Image.new("RGB", (8, 8), (0, 0, 0)), np.zeros((8, 8, 1))),
}


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_picture_becomes_rgb_bytes(tmp_path, name):
    image, expected = MODES[name]
    for i in range(3):
        save(tmp_path / "train" / "a" / f"{i}_{name}", image)
        save(tmp_path / "train" / "b" / f"{i}.png", Image.new("RGB", (8, 8)))
    parts, _ = read_folder(tmp_path)
    images, labels = parts["train"]
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), np.broadcast_to(expected, (8, 8, 3)))


def test_pictures_are_turned_upright_as_their_camera_noted(tmp_path):
    write_folder(tmp_path, train={"a": 3, "b": 3})
    path = tmp_path / "train" / "a" / "00.png"
    upright = pixels(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to view
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert torch.equal(read_folder(tmp_path)[0]["train"][0][0], upright)


def test_size_resizes_the_shorter_side_and_keeps_the_centre(tmp_path):
    """Of a red, a green and a blue square in a row the green one in the middle is left, its edges blurred."""
    stripes = np.repeat(np.eye(3, dtype=np.uint8) * 255, 12, axis=0)[None].repeat(12, axis=0)
    for i in range(3):
        save(tmp_path / "train" / "wide" / f"{i}.png", Image.fromarray(stripes))
        save(tmp_path / "train" / "tall" / f"{i}.png", Image.fromarray(stripes.transpose(1, 0, 2)))
    for size in (4, 12, 24):
        data = load_data("folder", data_dir=tmp_path, size=size)
        assert data.size == (size, size)
        assert data.config["size"] == size
        inner = data.train.images if size == 12 else data.train.images[..., 1:-1, 1:-1]
        assert (inner == torch.tensor([0, 255, 0])[:, None, None]).all()
    refused(lambda: load_data("folder", data_dir=tmp_path, size=0), "size is 0", "1 pixel or more")


def test_resizing_averages_what_it_shrinks(tmp_path):
    """A fine chequerboard becomes grey: shrinking without antialiasing would keep it black and white."""
    board = np.indices((32, 32)).sum(0) % 2 * 255
    for i in range(6):
        save(tmp_path / "train" / "ab"[i % 2] / f"{i}.png", Image.fromarray(board.astype(np.uint8)))
    images, _ = read_folder(tmp_path, size=8)[0]["train"]
    assert (images.double() - 127.5).abs().max() < 5


def break_folder(root, mistake):
    """Make a good folder and then one mistake in it; return what the refusal must name."""
    write_folder(root, train={"a": 3, "b": 3})
    match mistake:
        case "no train":
            (root / "train").rename(root / "training")
            return "no folder train/", root
        case "no classes":
            (root / "train").rename(root / "pictures")
            (root / "train").mkdir()
            return "has no classes", "one a class"
        case "one class":
            (root / "train" / "b").rename(root / "b")
            return "only the class 'a'", "two folders or more"
        case "empty class":
            (root / "train" / "c").mkdir()
            return root / "train" / "c", "has no pictures"
        case "too few":
            (root / "train" / "b" / "00.png").unlink()
            return root / "train" / "b", "has 2 pictures", "needs 3 or more", "val and test"
        case "strange class":
            write_folder(root, test={"a": 1, "z": 1})
            return root / "test", "'z'", "train lacks"
        case "empty test":
            (root / "test").mkdir()
            return root / "test", "has no pictures"


MISTAKES = ("no train", "no classes", "one class", "empty class", "too few", "strange class", "empty test")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_folder_with_a_mistake_is_refused(tmp_path, mistake):
    words = break_folder(tmp_path, mistake)
    for call in (check_data, load_data):
        refused(lambda call=call: call("folder", data_dir=tmp_path), *words)


def test_a_folder_must_be_given_and_be_there(tmp_path):
    for call in (check_data, load_data):
        refused(lambda call=call: call("folder"), "needs data_dir")
        refused(
            lambda call=call: call("folder", data_dir=tmp_path / "none"),
            "there is no folder",
            tmp_path / "none",
        )


@pytest.mark.parametrize("content", [b"", b"not a picture", "truncated"])
def test_an_unreadable_picture_is_named_and_the_check_reads_none(tmp_path, content):
    path = write_folder(tmp_path, train={"a": 3, "b": 3}) / "train" / "b" / "01.png"
    path.write_bytes(path.read_bytes()[:90] if content == "truncated" else content)
    check_data("folder", data_dir=tmp_path)
    refused(lambda: load_data("folder", data_dir=tmp_path), "cannot read the picture", path)
    refused(lambda: load_data("folder", data_dir=tmp_path, size=4), "cannot read the picture", path)


def test_pictures_of_different_sizes_are_refused_by_name(tmp_path):
    first = write_folder(tmp_path, train={"a": 3, "b": 3}) / "train" / "a" / "00.png"
    other = tmp_path / "train" / "b" / "01.png"
    save(other, Image.new("RGB", (5, 7)))
    refused(lambda: load_data("folder", data_dir=tmp_path), first, "6×5", other, "7×5", "give a size")
    assert load_data("folder", data_dir=tmp_path, size=4).size == (4, 4)


def test_a_short_read_shows_no_bar(tmp_path, capsys):
    load_data("folder", data_dir=write_folder(tmp_path, train={"a": 3, "b": 3}))
    assert capsys.readouterr() == ("", "")


def test_through_jpeg_keeps_what_is_smooth_and_loses_more_the_lower_the_quality():
    grey = torch.arange(0, 256, 5, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    assert (through_jpeg(grey, 75).int() - grey.int()).abs().max() <= 1
    noise = torch.randint(0, 256, (8, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    stored = {quality: through_jpeg(noise, quality) for quality in (5, 30, 75, 95)}
    assert all(each.shape == noise.shape and each.dtype == torch.uint8 for each in stored.values())
    lost = [(each.float() - noise.float()).square().mean() for each in stored.values()]
    assert lost == sorted(lost, reverse=True) and lost[0] > 1.5 * lost[-1] > 0


def test_through_jpeg_halves_the_resolution_of_colours():
    """Stripes one pixel wide of two colours of one brightness (0.299 R + 0.587 G + 0.114 B) become their mean."""
    red, green = torch.tensor([200.0, 60.0, 60.0]), torch.tensor([60.0, 131.3, 60.0])
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert (weights @ (red - green)).abs() < 0.1
    stripes = (
        torch.stack((red, green), dim=1).round().to(torch.uint8).repeat(1, 16)[None, :, None, :].expand(1, 3, 32, 32)
    )
    stored = through_jpeg(stripes, 95).float()
    assert (stored - (red + green)[None, :, None, None] / 2).abs().max() < 4
    wide = stripes[..., :2].repeat_interleave(16, dim=-1)
    assert (through_jpeg(wide, 95).float() - wide.float()).abs().mean() < 4, "colours that change slowly stay"
