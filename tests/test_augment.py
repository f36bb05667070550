"""Augmentation against a slow loop over pictures and pixels, and the distribution of what chance decides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lambdalab.augment import Augment
from lambdalab.errors import UserError

ALL_ON = Augment(crop=2, flip=True, cutout=3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_pictures(shape, seed=0):
    """Bytes 1 to 255, so that a zero can only come from the augmentation."""
    return torch.randint(1, 256, shape, generator=seeded(seed), dtype=torch.uint8)


def augment_one(picture, crop, cutout, shift, flipped, hole):
    """Augment one (C, H, W) array, pixel by pixel, straight from the definition."""
    _, height, width = picture.shape
    result = np.zeros_like(picture)
    for i in range(height):
        for j in range(width):
            row, column = i + shift[0], (width - 1 - j if flipped else j) + shift[1]
            inside = 0 <= row < height and 0 <= column < width
            top, left = hole[0] - cutout // 2, hole[1] - cutout // 2
            cut = top <= i < top + cutout and left <= j < left + cutout
            if inside and not cut:
                result[:, i, j] = picture[:, row, column]
    return result


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
    crop=st.integers(0, 2),
    flip=st.booleans(),
    cutout=st.integers(0, 3),
    floats=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_a_loop_over_pictures(shape, crop, flip, cutout, floats, seed):
    augment = Augment(crop, flip, cutout)
    images = random_pictures(shape, seed)
    images = images.float() / 255 if floats else images
    before = images.clone()
    result = augment(images, seeded(seed))
    draws = augment.draw(shape[0], shape[2:], seeded(seed))
    expected = [
        augment_one(picture.numpy(), crop, cutout, *(drawn[i].tolist() for drawn in draws))
        for i, picture in enumerate(images)
    ]
    assert result.dtype == images.dtype
    assert result.shape == images.shape
    assert np.array_equal(result.numpy(), np.array(expected).reshape(shape))
    assert torch.equal(images, before)


def test_default_changes_nothing():
    images = random_pictures((7, 3, 5, 6))
    assert torch.equal(Augment()(images, seeded()), images)


def test_crop_only_shifts():
    """Every result is the picture moved by at most `crop`, with zeros where nothing was."""
    images = random_pictures((200, 1, 6, 7))
    for picture, result in zip(images[:, 0], Augment(crop=2)(images, seeded())[:, 0], strict=True):
        padded = torch.nn.functional.pad(picture, (2, 2, 2, 2))
        windows = [padded[a : a + 6, b : b + 7] for a in range(5) for b in range(5)]
        assert sum(torch.equal(result, window) for window in windows) == 1


def test_flip_mirrors_half_of_the_pictures():
    images = random_pictures((4000, 1, 3, 4))
    result = Augment(flip=True)(images, seeded())
    kept = (result == images).flatten(1).all(1)
    mirrored = (result == images.flip(-1)).flatten(1).all(1)
    assert torch.equal(kept, ~mirrored)
    assert abs(mirrored.double().mean() - 0.5) < 4 * 0.5 / 4000**0.5


def test_cutout_clears_one_square_that_only_the_border_clips():
    result = Augment(cutout=3)(torch.ones(500, 2, 8, 8), seeded())
    assert torch.equal(result[:, 0], result[:, 1])
    empty = result[:, 0] == 0
    heights, widths = empty.any(2).sum(1), empty.any(1).sum(1)
    assert torch.equal(empty.flatten(1).sum(1), heights * widths)
    assert set(heights.tolist()) == set(widths.tolist()) == {2, 3}


def test_every_shift_and_every_centre_is_equally_likely():
    draws = Augment(crop=2).draw(25_000, (4, 6), seeded())
    shifts = torch.bincount((draws.shift[:, 0] + 2) * 5 + draws.shift[:, 1] + 2, minlength=25)
    holes = torch.bincount(draws.hole[:, 0] * 6 + draws.hole[:, 1], minlength=24)
    assert len(shifts) == 25
    assert len(holes) == 24
    assert min(chisquare(shifts).pvalue, chisquare(holes).pvalue) > 1e-4


def test_pictures_are_drawn_independently():
    """Neighbours' draws are uncorrelated, and another picture's content changes nothing."""
    draws = ALL_ON.draw(40_000, (8, 8), seeded())
    columns = torch.cat([draws.shift, draws.flip[:, None], draws.hole], dim=1).double().T
    mixed = torch.corrcoef(torch.cat([columns[:, :-1], columns[:, 1:]]))
    assert (mixed - torch.eye(10)).abs().max() < 5 / 40_000**0.5
    images = random_pictures((6, 1, 8, 8))
    changed = images.clone()
    changed[2] = 7
    others = [0, 1, 3, 4, 5]
    assert torch.equal(ALL_ON(images, seeded())[others], ALL_ON(changed, seeded())[others])


def test_the_generator_alone_decides():
    images = random_pictures((32, 3, 8, 8))
    torch.manual_seed(1)
    first = ALL_ON(images, seeded(3))
    torch.manual_seed(2)
    assert torch.equal(first, ALL_ON(images, seeded(3)))
    assert not torch.equal(first, ALL_ON(images, seeded(4)))


def test_switching_one_on_leaves_the_others_unchanged():
    alone, together = (augment.draw(50, (8, 8), seeded()) for augment in (Augment(cutout=3), ALL_ON))
    assert torch.equal(alone.hole, together.hole)
    assert not alone.flip.any()
    assert not alone.shift.any()


@pytest.mark.parametrize("options", [{"crop": -1}, {"cutout": -1}, {"crop": 1.5}, {"cutout": "3"}])
def test_refuses_what_is_no_number_of_pixels(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Augment(**options)


@pytest.mark.parametrize("augment", [Augment(crop=4), Augment(cutout=5)])
def test_refuses_what_does_not_fit_the_pictures(augment):
    with pytest.raises(UserError, match="4×9 pixels; crop can be 0 to 3, cutout 0 to 4"):
        augment(random_pictures((1, 1, 4, 9)), seeded())


def test_accepts_the_largest_that_fit():
    assert Augment(crop=3, cutout=4)(random_pictures((1, 1, 4, 9)), seeded()).shape == (1, 1, 4, 9)


@pytest.mark.gpu
def test_a_cpu_generator_gives_the_same_on_a_gpu():
    images = random_pictures((64, 3, 8, 8))
    assert torch.equal(ALL_ON(images.cuda(), seeded()).cpu(), ALL_ON(images, seeded()))
    own = ALL_ON(images.cuda(), torch.Generator("cuda").manual_seed(0))
    assert own.is_cuda
