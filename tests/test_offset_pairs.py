"""offset_pairs: that where a mark stands is all that tells its classes apart."""

import hashlib

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare

from lambdalab.data import load_data
from lambdalab.errors import UserError


def without_noise(images):
    """Return (N, 3, H, W) booleans: which colours are lit. Marks are 100 or more, the noise is at most 55."""
    return images >= 100


def upper_left(lit):
    """Return the corner (N, 2) of the mark in (N, H, W), and check that this 2×2 square is all there is."""
    first = lit.flatten(1).int().argmax(1)
    corner = torch.stack([first // lit.shape[-1], first % lit.shape[-1]], dim=1)
    rows, columns = (corner[:, i, None] + torch.arange(2) for i in (0, 1))
    assert (lit.flatten(1).sum(1) == 4).all()
    assert lit[torch.arange(len(lit))[:, None, None], rows[:, :, None], columns[:, None, :]].all()
    return corner


@pytest.fixture(scope="module", params=[24, 21, 30])
def data(request):
    return load_data("offset_pairs", size=request.param)


@pytest.fixture(scope="module", params=["train", "val", "test"])
def part(request, data):
    return getattr(data, request.param)


@pytest.fixture
def corners(part):
    red, green, blue = without_noise(part.images).unbind(1)
    return upper_left(red & ~green), upper_left(blue & ~green)


def test_the_class_is_where_blue_stands_from_red(data, part, corners):
    a, b = corners
    offsets = [
        (6 * (("down" in name) - ("up" in name)), 6 * (("right" in name) - ("left" in name))) for name in data.classes
    ]
    assert torch.equal(b - a, torch.tensor(offsets)[part.labels])
    assert len(set(offsets)) == data.num_classes == 8


def test_marks_stay_off_the_border(part):
    lit = without_noise(part.images).any(1)
    assert lit.flatten(1).sum(1).unique().tolist() == [6 * 4]
    lit[:, 2:-2, 2:-2] = False
    assert not lit.any()


def test_every_picture_has_the_same_3x3_neighbourhoods(part):
    """The claim that a 3×3 convolution with global pooling, and a content lambda even more, is at chance.

    Noise apart, the neighbourhoods of all pictures, with the padding around them told from the ground, are
    one and the same multiset; that the noise does not depend on the class is tested below.
    """
    red, green, blue = without_noise(part.images[:500]).unbind(1)
    kind = red + 2 * green + 4 * blue + 1.0  # 1 for the ground; 0 is left for the padding
    patches = F.unfold(F.pad(kind[:, None], (1, 1, 1, 1)), 3)  # (N, 9, H·W)
    powers = 9 ** torch.arange(9, dtype=torch.int64)
    numbers = (patches.long() * powers[:, None]).sum(1).sort(1).values
    assert torch.equal(numbers, numbers[:1].expand_as(numbers))
    assert len(numbers[0].unique()) > 40


def test_red_mark_is_uniform_in_the_central_square_in_every_class(data):
    both = [torch.cat(pair) for pair in zip(data.train, data.val, strict=True)]
    red, green, _ = without_noise(both[0]).unbind(1)
    a, side = upper_left(red & ~green) - 8, data.size[0] - 17
    assert a.min() == 0
    assert a.max() == side - 1
    counts = torch.zeros(8, side, side).index_put((both[1], *a.T), torch.tensor(1.0), accumulate=True)
    assert chisquare(counts.sum(0).flatten()).pvalue > 1e-4
    by_class = counts.flatten(1)
    expected = by_class.sum(1, keepdim=True).expand_as(by_class) / side**2
    assert chisquare(by_class.flatten(), expected.flatten(), ddof=7).pvalue > 1e-4


def test_noise_is_uniform_and_the_same_in_every_class(data):
    images, labels = data.train
    colour = (200 * without_noise(images)).masked_fill(without_noise(images).all(1, keepdim=True), 100)
    noise = images.long() - colour
    assert chisquare(torch.bincount(noise.flatten(), minlength=56)).pvalue > 1e-4
    deviation = (56**2 / 12) ** 0.5
    for label in range(8):
        own = noise[labels == label].double()
        assert abs(own.mean() - 27.5) < 4 * deviation / own.numel() ** 0.5


def test_classes_are_equally_frequent(data):
    for part in (data.train, data.val, data.test):
        counts = torch.bincount(part.labels, minlength=8)
        assert counts.max() - counts.min() <= 1
    assert len(data.train.labels) + len(data.val.labels) == 2500
    assert len(data.test.labels) == 1000


def test_all_pictures_differ_also_without_their_noise():
    data = load_data("offset_pairs")
    images = torch.cat([data.train.images, data.val.images, data.test.images])
    assert len(images.unique(dim=0)) == 3500
    assert len(without_noise(images).unique(dim=0)) == 3500


def test_split_seed_makes_the_training_pictures_and_leaves_the_test_alone():
    data, same, other = (load_data("offset_pairs", split_seed=seed) for seed in (0, 0, 1))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(data, part).images, getattr(same, part).images)
    assert torch.equal(data.test.images, other.test.images)
    both = torch.cat([data.train.images, other.train.images, other.val.images])
    assert len(both.unique(dim=0)) == len(both)


def test_every_machine_makes_the_same_pictures():
    """Results in data/results name this dataset: if this digest changes, they are of other pictures."""
    data = load_data("offset_pairs")
    digest = hashlib.sha256(data.train.images.numpy().tobytes() + data.test.labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "fd4dbea459242399"


@pytest.mark.parametrize("size", [0, -3, 20, 257])
def test_refuses_sizes_out_of_range(size):
    with pytest.raises(UserError, match=f"size is {size}; .* 21 to 256 pixels"):
        load_data("offset_pairs", size=size)
