"""Any picture as a network's input: files, bytes, uploads and arrays; and a few free pictures to begin with.

``InputFormat.like(data).fit("cat.jpg")`` is that picture as the bytes a network trained on ``data`` takes. What cannot
be read is refused in one line, before it can fill the memory.
"""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lambdalab.errors import UserError
from lambdalab.pictures import as_rgb, read_digits

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    Source = str | Path | bytes | np.ndarray | Tensor | Picture

MOST_PIXELS = 50_000_000  # 150 MB once decoded; a camera's largest pictures have fewer


@dataclass(frozen=True)
class InputFormat:
    """What a network takes.

    Attributes:
        channels: 1 for grey, 3 for colour.
        size: height and width in pixels.
        mean, std: per channel, in units where bytes go from 0 to 1.
    """

    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        if self.channels not in (1, 3):
            raise UserError(f"pictures have 1 channel (grey) or 3 (colour), not {self.channels}")
        if len(self.size) != 2 or min(self.size) < 1:
            raise UserError(f"size must be a height and a width of at least 1, got {self.size}")
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise UserError(f"mean and std need {self.channels} each, std above 0; got {self.mean} and {self.std}")

    @classmethod
    def like(cls, data) -> "InputFormat":
        """Return the format of a dataset's pictures (an ``ImageData``), or of another InputFormat."""
        return cls(data.channels, tuple(data.size), tuple(data.mean), tuple(data.std))

    def fit(self, source: "Source", name: str | None = None) -> Tensor:
        """Return any picture as bytes (channels, height, width): the central part, resized with antialiasing.

        Args:
            source: as in ``open_picture``.
            name: what to call it in a message.

        Raises:
            UserError: if it cannot be read.
        """
        from PIL import Image, ImageOps

        image = open_picture(source, name)
        if image.size != self.size[::-1]:
            image = ImageOps.fit(image, self.size[::-1], Image.Resampling.BILINEAR)
        pixels = np.array(image if self.channels == 3 else image.convert("L"))
        return torch.from_numpy(pixels.reshape(*self.size, self.channels)).permute(2, 0, 1).contiguous()

    def normalise(self, images: Tensor) -> Tensor:
        """Return ``(images / 255 - mean) / std`` as float32, for bytes (N, C, H, W)."""
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def open_picture(source: "Source", name: str | None = None) -> "Picture":
    """Return any picture as an upright RGB image of Pillow's; what is transparent is white.

    Args:
        source: a file, a file's bytes, an image of Pillow's, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or
            a tensor (H, W) or (C, H, W). Arrays and tensors hold bytes, 16-bit counts, booleans, or floats from
            0 to 1.
        name: what to call it in a message; by default the file's name, or "the picture".

    Raises:
        UserError: no such file; not a picture, damaged or cut off; more than ``MOST_PIXELS``; an array of another
            shape, type or range.
    """
    from PIL import Image

    if isinstance(source, str | Path):
        name, source = name or f"'{Path(source).name}'", _read_bytes(Path(source))
    name = name or "the picture"
    if isinstance(source, Tensor):
        tensor = source.detach().cpu()
        source = (tensor.permute(1, 2, 0) if tensor.dim() == 3 else tensor).numpy()
    if isinstance(source, np.ndarray):
        return as_rgb(Image.fromarray(_as_bytes(source, name)))
    if not isinstance(source, Image.Image | bytes | bytearray | memoryview):
        raise UserError(f"{name} is a {type(source).__name__}; give a file, its bytes, an array or a tensor")
    return _decode(source, name)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); give the path of a picture") from None


def _decode(source: "bytes | Picture", name: str) -> "Picture":
    """Decode a file's bytes, after a look at the size that its header claims."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is below its limit
            image = source if isinstance(source, Image.Image) else Image.open(BytesIO(source))
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        return as_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        kinds = "PNG, JPEG, WebP, BMP, GIF or TIFF"
        raise UserError(f"{name} is not a picture that can be read; use {kinds}") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} has more than {MOST_PIXELS // 10**6} million pixels; shrink it first") from None
    except Exception as error:  # on broken files Pillow's decoders raise a dozen kinds besides OSError
        kind = type(error).__name__
        raise UserError(f"{name} is damaged or cut off ({kind}); save it again, or use another") from None


def _as_bytes(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array (H, W[, C]) of counts, booleans or floats as bytes, grey without a last axis."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise UserError(f"{name} has shape {array.shape}; a picture is H×W, H×W×1, H×W×3 or H×W×4 (tensors: C×H×W)")
    if array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise UserError(f"{name} has more than {MOST_PIXELS // 10**6} million pixels; shrink it first")
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # also false for nan
            raise UserError(f"{name} has floats from {array.min():.3g} to {array.max():.3g}; scale them to 0 … 1")
        return (array * 255 + 0.5).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UserError(f"{name} holds {array.dtype}; use bytes (uint8), uint16, booleans, or floats from 0 to 1")
    return np.ascontiguousarray(array)


def sample_pictures() -> dict[str, np.ndarray]:
    """Return free pictures that come with the dependencies, by name, as bytes (H, W, 3) or (H, W).

    "china" and "flower" come with scikit-learn (CC BY 2.0; the README beside them names the photographers), "hopper"
    with matplotlib (the US Navy's portrait of Grace Hopper, in the public domain); "digit 0" … "digit 9" are the
    first of each class of scikit-learn's digits.
    """
    from matplotlib.cbook import get_sample_data
    from sklearn.datasets import load_sample_image

    found = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    with get_sample_data("grace_hopper.jpg") as file:
        found["hopper"] = np.array(open_picture(file.read()))
    parts, classes = read_digits()
    images, labels = parts["train"]
    for label, name in enumerate(classes):
        found[f"digit {name}"] = images[labels == label][0, 0].numpy()
    return found
