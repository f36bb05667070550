"""Any picture becomes a network's input, or is refused in one line."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lambdalab.data import load_data
from lambdalab.errors import UserError
from lambdalab.inputs import MOST_PIXELS, InputFormat, open_picture, sample_pictures

COLOUR = InputFormat(3, (8, 8), (0.5,) * 3, (0.25,) * 3)
GREY = InputFormat(1, (8, 8), (0.5,), (0.25,))
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
CLEAR = np.dstack([np.full((8, 8, 3), 10, np.uint8), np.where(RAMP < 128, 0, 255).astype(np.uint8)])


def encoded(image, kind="PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refused(source, *words, name=None):
    with pytest.raises(UserError) as caught:
        COLOUR.fit(source, name)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


SOURCES = {
    "grey": (encoded(Image.fromarray(RAMP)), RAMP),
    "black and white": (encoded(Image.fromarray(RAMP).point(lambda v: 255 * (v > 99), "1")), 255 * (RAMP > 99)),
    "palette": (encoded(Image.fromarray(RAMP).convert("P")), RAMP),
    "16 bit": (encoded(Image.fromarray(RAMP.astype(np.uint16) * 256 + 255)), RAMP),
    "32 bit": (encoded(Image.fromarray(RAMP.astype(np.int32) * 256 + 255), "TIFF"), RAMP),
    "transparent": (encoded(Image.fromarray(CLEAR)), np.where(RAMP < 128, 255, 10)),
    "grey and transparent": (encoded(Image.fromarray(CLEAR).convert("LA")), np.where(RAMP < 128, 255, 10)),
    "four inks": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), np.full((8, 8), 255)),
    "animated": (encoded(Image.fromarray(RAMP), "GIF", save_all=True, append_images=[Image.new("L", (8, 8))]), RAMP),
    "webp": (encoded(Image.fromarray(RAMP).convert("RGB"), "WEBP", lossless=True), RAMP),
    "image": (Image.fromarray(RAMP), RAMP),
    "bytes array": (RAMP, RAMP),
    "one channel": (RAMP[:, :, None], RAMP),
    "RGBA array": (CLEAR, np.where(RAMP < 128, 255, 10)),
    "16-bit array": (RAMP.astype(np.uint16) * 256 + 255, RAMP),
    "floats": (RAMP / 255, RAMP),
    "booleans": (RAMP > 99, 255 * (RAMP > 99)),
    "tensor": (torch.from_numpy(RAMP)[None].expand(3, 8, 8), RAMP),
    "flat tensor": (torch.from_numpy(RAMP), RAMP),
    "memory": (memoryview(encoded(Image.fromarray(RAMP))), RAMP),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_picture_becomes_the_same_bytes(kind):
    source, expected = SOURCES[kind]
    colour, grey = COLOUR.fit(source), GREY.fit(source)
    assert (colour.dtype, tuple(colour.shape), tuple(grey.shape)) == (torch.uint8, (3, 8, 8), (1, 8, 8))
    assert np.array_equal(colour.numpy(), np.broadcast_to(expected, (3, 8, 8)))
    assert np.array_equal(grey[0].numpy(), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_come_back_as_the_bytes_they_were(kind):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    form = InputFormat(1, (16, 16), (0.5,), (0.5,))
    assert np.array_equal(form.fit((every / 255).astype(kind))[0].numpy(), every)
    assert (form.fit(np.full((16, 16), 0.999, kind)) == 255).all()  # the nearest byte, not the one below


def test_a_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "ramp.png"
    path.write_bytes(SOURCES["grey"][0])
    assert torch.equal(GREY.fit(path), GREY.fit(str(path))) and torch.equal(GREY.fit(path), GREY.fit(RAMP))


pixels = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]))


@given(arrays(np.uint8, pixels), st.sampled_from([1, 3]), st.integers(1, 33), st.integers(1, 33))
def test_any_size_is_brought_to_the_networks(picture, channels, height, width):
    form = InputFormat(channels, (height, width), (0.5,) * channels, (0.2,) * channels)
    images = form.fit(picture)[None]
    assert tuple(images.shape) == (1, channels, height, width)
    expected = (images.double() / 255 - 0.5) / 0.2
    assert torch.allclose(form.normalise(images).double(), expected, atol=1e-5)
    if picture.shape == (height, width, 3) and channels == 3:
        assert np.array_equal(images[0].permute(1, 2, 0).numpy(), picture)


def test_one_pixel_and_twelve_million(tmp_path):
    assert (COLOUR.fit(np.full((1, 1, 3), 77, np.uint8)) == 77).all()
    large = Image.fromarray(np.kron(RAMP[:, :, None].repeat(3, 2), np.ones((375, 500, 1), np.uint8)))
    assert large.size == (4000, 3000)
    wide = InputFormat(3, (6, 8), (0.5,) * 3, (0.5,) * 3).fit(encoded(large, "JPEG"))
    assert abs(wide.float().mean() - RAMP.mean()) < 2


def test_the_centre_is_kept_and_fine_patterns_are_averaged():
    stripes = np.repeat(np.eye(3, dtype=np.uint8) * 255, 12, axis=0)[None].repeat(12, axis=0)
    assert (COLOUR.fit(stripes)[:, :, 1:-1] == torch.tensor([0, 255, 0])[:, None, None]).all()
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    assert (GREY.fit(board).float() - 127.5).abs().max() < 5


def test_pictures_are_turned_upright_as_their_camera_noted():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to view
    turned = Image.fromarray(RAMP).transpose(Image.Transpose.ROTATE_90)
    assert torch.equal(GREY.fit(encoded(turned, exif=exif)), GREY.fit(RAMP))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_by_its_header(recwarn):
    for side in (8000, 10_000, 60_000):  # above our limit, above Pillow's warning, above Pillow's error
        refused(bomb(side, side), "more than 50 million pixels", "shrink it")
    refused(np.broadcast_to(np.uint8(0), (8000, 8000)), "more than 50 million pixels")
    assert MOST_PIXELS == 50_000_000 and not recwarn.list


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_what_is_cut_off_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    refused(whole[: len(whole) // 2], "the upload 'a'", name="the upload 'a'")


def test_what_is_no_picture_is_refused(tmp_path):
    for content in (b"", b"not a picture", b"<svg/>", bytes(5000)):
        refused(content, "not a picture that can be read", "PNG")
    (tmp_path / "notes.txt").write_text("words")
    refused(tmp_path / "notes.txt", "'notes.txt'", "not a picture")
    refused(tmp_path / "none.png", "none.png", "cannot read")
    refused(tmp_path, "cannot read")
    refused(7, "is a int", "give a file")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((8, 8, 2), np.uint8), "shape (8, 8, 2)"),
        (np.zeros(8, np.uint8), "shape (8,)"),
        (np.zeros((0, 8, 3), np.uint8), "shape (0, 8, 3)"),
        (np.zeros((8, 8), np.int64), "holds int64"),
        (RAMP.astype(np.float32), "scale them"),
        (np.full((8, 8), np.nan), "scale them"),
        (np.zeros((8, 8), complex), "holds complex128"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, words):
    refused(array, words)


def test_a_format_like_a_datasets_normalises_as_it_does():
    data = load_data("digits")
    form = InputFormat.like(data)
    assert torch.equal(form.normalise(data.test.images[:5]), data.normalise(data.test.images[:5]))
    assert torch.equal(form.fit(data.test.images[3]), data.test.images[3]) and InputFormat.like(form) == form


@pytest.mark.parametrize(
    ("channels", "size", "mean", "std", "words"),
    [
        (2, (8, 8), (0.5,), (0.5,), "not 2"),
        (1, (8, 0), (0.5,), (0.5,), "at least 1"),
        (3, (8, 8), (0.5,), (0.5,), "need 3"),
        (1, (8, 8), (0.5,), (0.0,), "above 0"),
    ],
)
def test_an_impossible_format_is_refused(channels, size, mean, std, words):
    with pytest.raises(UserError, match=words):
        InputFormat(channels, size, mean, std)


def test_sample_pictures_are_real_and_can_be_read():
    samples = sample_pictures()
    assert {"china", "flower", "hopper", "digit 0", "digit 9"} < set(samples) and len(samples) == 13
    for name, picture in samples.items():
        assert len(np.unique(open_picture(picture, name))) > 8
    assert samples["china"].shape == (427, 640, 3) and samples["digit 3"].shape == (8, 8)
