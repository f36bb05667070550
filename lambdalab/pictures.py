"""Real pictures: scikit-learn's digits, CIFAR-10 as torchvision keeps it, and a folder of files by class.

Each reader returns ``(parts, classes)``: `parts` maps "train" and, where the source has them, "val" and
"test" to bytes (N, C, H, W) and labels (N,). What may be missing on disk has a check that opens no picture.
"""

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lambdalab.errors import UserError
from lambdalab.paths import cache_dir

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Parts = dict[str, tuple[Tensor, Tensor]]
Files = dict[str, list[tuple[Path, int]]]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def read_digits() -> tuple[Parts, tuple[str, ...]]:
    """Return the 1,797 handwritten digits that scikit-learn carries.

    They are the test half of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI
    Machine Learning Repository), written by 13 people and reduced to 8×8 counts of 0 to 16, kept here ×15 so
    that a byte holds them without rounding. Nobody noted who wrote which, so a writer's digits are in all
    three parts of a split: an accuracy on them says nothing about people whose writing was not seen.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).to(torch.uint8)[:, None] * 15
    return {"train": (images, torch.from_numpy(digits.target).long())}, tuple("0123456789")


def check_folder(data_dir: str | Path | None) -> tuple[Files, tuple[str, ...]]:
    """Find the pictures of ``data_dir/train/CLASS/*.png`` and, if there, of ``val/`` and ``test/``.

    Returns:
        For each part its files with their labels, and the classes, sorted by name.

    Raises:
        UserError: no such folder, no ``train/``, fewer than two classes, a class without pictures or with too
            few to split, a class in ``val/`` or ``test/`` that ``train/`` lacks.
    """
    if data_dir is None:
        raise UserError("dataset 'folder' needs data_dir, a folder with pictures in train/CLASS/")
    root = Path(data_dir)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; data_dir must be a folder with pictures in train/CLASS/")
    if not (root / "train").is_dir():
        raise UserError(f"{root} has no folder train/; pictures must be in {root}/train/CLASS/")
    classes = _class_names(root / "train")
    if len(classes) < 2:
        found = f"only the class '{classes[0]}'" if classes else "no classes"
        raise UserError(f"{root}/train has {found}; it needs two folders or more, one a class, with pictures in them")
    files = {part: _list_part(root / part, classes) for part in ("train", "val", "test") if (root / part).is_dir()}
    _check_counts(root, files, classes)
    return files, classes


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in folder.iterdir() if each.is_dir() and each.name[0] != "."))


def _list_part(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """List one part's pictures with their labels, sorted by class and then by name."""
    files, labels = [], {name: label for label, name in enumerate(classes)}
    for name in _class_names(folder):
        if name not in labels:
            raise UserError(f"{folder} has the class '{name}', which {folder.parent}/train lacks; remove or rename it")
        found = [
            (path, labels[name])
            for path in sorted((folder / name).iterdir())
            if path.suffix.lower() in EXTENSIONS and path.name[0] != "."
        ]
        if not found:
            raise UserError(f"{folder / name} has no pictures; put some there ({', '.join(EXTENSIONS)}) or remove it")
        files += found
    if not files:
        raise UserError(f"{folder} has no pictures; put them into {folder}/CLASS/, or remove the folder")
    return files


def _check_counts(root: Path, files: Files, classes: tuple[str, ...]) -> None:
    """Refuse a class of ``train/`` that cannot give a picture to each part that must be split off from it."""
    missing = [part for part in ("val", "test") if part not in files]
    counts = Counter(label for _, label in files["train"])
    for label, name in enumerate(classes):
        if (count := counts[label]) <= len(missing):
            raise UserError(
                f"{root}/train/{name} has {count} picture{'s' * (count > 1)}; it needs {len(missing) + 1} or "
                f"more, because {' and '.join(missing)} must be split off from train"
            )


def read_folder(data_dir: str | Path | None, size: int | None = None) -> tuple[Parts, tuple[str, ...]]:
    """Read the pictures that `check_folder` finds as RGB bytes; a bar shows if that takes over two seconds.

    Args:
        data_dir: the folder.
        size: if given, each picture's shorter side is resized to it (bilinear, antialiased) and the central
            square kept; if not, all pictures must have one size already.

    Raises:
        UserError: as `check_folder`; a size below 1; a picture that cannot be read, or whose size differs.
    """
    from tqdm import tqdm

    if size is not None and size < 1:
        raise UserError(f"size is {size}; it must be 1 pixel or more")
    files, classes = check_folder(data_dir)
    first = files["train"][0][0]
    shape = _read_picture(first, size).shape
    parts = {}
    with tqdm(total=sum(map(len, files.values())), desc="reading pictures", unit="", delay=2) as bar:
        for part, found in files.items():
            images = torch.empty((len(found), 3, *shape[:2]), dtype=torch.uint8)
            for row, (path, _) in enumerate(found):
                picture = _read_picture(path, size)
                if picture.shape != shape:
                    raise UserError(
                        f"pictures differ in size: {first} has {shape[0]}×{shape[1]} pixels (height×width), "
                        f"{path} has {picture.shape[0]}×{picture.shape[1]}; give a size to resize them to"
                    )
                images[row] = torch.from_numpy(picture).permute(2, 0, 1)
                bar.update()
            parts[part] = (images, torch.tensor([label for _, label in found]))
    return parts, classes


def _read_picture(path: Path, size: int | None) -> np.ndarray:
    """Read one picture, upright, as bytes (H, W, 3)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image = as_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # on broken files Pillow's decoders raise a dozen kinds besides OSError
        raise UserError(f"cannot read the picture {path}; replace or remove it ({type(error).__name__})") from error
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.array(image)


def as_rgb(image: "Picture") -> "Picture":
    """Return a picture of any mode as RGB; 16-bit grey keeps the upper byte, what is transparent is white."""
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.getbands()[-1] in ("A", "a") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def through_jpeg(images: Tensor, quality: int) -> Tensor:
    """Return pictures as JPEG files give them back, lossy in blocks of 8×8 pixels, colours at half the resolution.

    A bar shows if that takes over two seconds.

    Args:
        images: bytes (N, 3, H, W).
        quality: 1 to 95, the encoder's; its tables and rounding are those of the JPEG library that Pillow was built
            with, so that another machine's pixels may differ by a level or two.

    Returns:
        Bytes of the same shape.
    """
    from PIL import Image
    from tqdm import tqdm

    def stored(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        with Image.open(file) as image:
            return np.asarray(image)

    rows = images.permute(0, 2, 3, 1).contiguous().numpy()
    bar = tqdm(rows, desc="through JPEG", unit="", delay=2)
    return torch.from_numpy(np.stack([stored(picture) for picture in bar])).permute(0, 3, 1, 2).contiguous()


def _cifar10_root(data_dir: str | Path | None) -> Path:
    return cache_dir() / "cifar10" if data_dir is None else Path(data_dir)


def check_cifar10(data_dir: str | Path | None) -> None:
    """Check that CIFAR-10's files are there; whether they are undamaged only `read_cifar10` checks.

    Raises:
        UserError: a file of it is not there.
    """
    from torchvision.datasets import CIFAR10

    root = _cifar10_root(data_dir)
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list] + [CIFAR10.meta["filename"]]
    missing = [name for name in names if not (root / CIFAR10.base_folder / name).is_file()]
    if missing:
        raise UserError(
            f"cifar10 is not in {root} (no {CIFAR10.base_folder}/{missing[0]}); "
            "load_data('cifar10', download=True) fetches its 170 MB once, or use 'folder' on its pictures"
        )


def read_cifar10(data_dir: str | Path | None, download: bool = False) -> tuple[Parts, tuple[str, ...]]:
    """Read CIFAR-10 (Krizhevsky 2009), each file checked by torchvision's MD5 before it is unpickled.

    Args:
        data_dir: the folder that holds ``cifar-10-batches-py/``; default ``data/cache/cifar10``.
        download: fetch it, with torchvision's progress bar, if it is not there.

    Raises:
        UserError: the download failed; a file is not there or its checksum is wrong.
    """
    from torchvision.datasets import CIFAR10

    root = _cifar10_root(data_dir)
    try:
        halves = {part: CIFAR10(root, train=part == "train", download=download) for part in ("train", "test")}
    except RuntimeError as error:  # how torchvision says that a checksum is wrong
        remedy = "try again" if download else "load_data('cifar10', download=True) replaces it"
        raise UserError(f"cifar10 in {root} is damaged: a file is missing or has a wrong checksum; {remedy}") from error
    except OSError as error:
        remedy = "try again, or use the dataset 'folder' with its pictures as files"
        raise UserError(f"cifar10 could not be {'downloaded' if download else 'read'} ({error}); {remedy}") from error
    parts = {
        part: (torch.from_numpy(half.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(half.targets))
        for part, half in halves.items()
    }
    return parts, tuple(halves["train"].classes)
