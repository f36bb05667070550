"""Pictures to learn from, by name: held whole in memory, split into three parts, served in whole batches.

``data = load_data("digits")`` returns an `ImageData`; ``data.batches(data.train, 128, seed=0, epoch=3)`` is
what a training loop goes through, and ``data.normalise`` makes floats of it. Nothing is downloaded unless
asked for.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lambdalab import pictures
from lambdalab.augment import Augment
from lambdalab.errors import UserError, did_you_mean
from lambdalab.offset_pairs import make_offset_pairs

TEST_FRACTION = 0.25  # of each class, for datasets that come without a test part


class Split(NamedTuple):
    """One part of a dataset.

    Attributes:
        images: (N, C, H, W) bytes, 0 to 255.
        labels: (N,) class indices, int64.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """A dataset in memory: its three parts, its classes, and what turns its bytes into a network's input.

    Attributes:
        name: "digits", "offset_pairs", "cifar10" or "folder".
        train, val, test: the parts; `val` is there to choose by, and `test` chooses nothing.
        classes: the classes' names, in the order of the labels.
        mean, std: per channel, of the training part, in units where bytes go from 0 to 1.
        config: ``load_data(**config)`` builds the same dataset again; JSON can hold it.
    """

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    config: dict

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """Channels of a picture: 1 for grey, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture in pixels."""
        return tuple(self.train.images.shape[-2:])

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, part).labels):,} {part}" for part in ("train", "val", "test"))
        shape = "×".join(map(str, (self.channels, *self.size)))
        return f"ImageData({self.name}: {counts}; {self.num_classes} classes, pictures {shape})"

    def to(self, device: torch.device | str) -> "ImageData":
        """Return the same data with all parts on `device`."""

        def moved(split: Split) -> Split:
            return Split(*(tensor.to(device) for tensor in split))

        return replace(self, train=moved(self.train), val=moved(self.val), test=moved(self.test))

    def normalise(self, images: Tensor) -> Tensor:
        """Return ``(images / 255 - mean) / std`` as float32, for bytes (N, C, H, W) on any device."""
        # Copied without waiting for the GPU, which would stand idle until the next step has been prepared.
        scale = torch.tensor((self.mean, self.std)).to(images.device, non_blocking=True)
        mean, std = scale[:, :, None, None]
        return (images.float() / 255 - mean) / std

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        augment: Augment | None = None,
        start: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Serve one pass over a part as (images, labels): bytes, on the part's own device, not normalised.

        The order depends on (seed, epoch) alone, a batch's augmentation on (seed, epoch, its step) alone, and
        both are drawn on the CPU: a run stopped at any step goes on with the same batches, even on another
        device.

        Args:
            split: ``data.train``, ``data.val``, ``data.test`` or any other.
            batch_size: pictures in a batch at most. No picture is left out, and the batches are equal to within one
                picture: a last batch of two or three would disturb every batch norm.
            seed: shuffles; None serves the pictures in order.
            epoch: which pass it is.
            augment: applied to each batch.
            start: the first step to serve; earlier ones are skipped at no cost.

        Raises:
            UserError: a batch size below 1.
        """
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 1 or more")
        images, labels = split
        order = torch.arange(len(labels))
        if seed is not None:
            order = torch.randperm(len(labels), generator=_generator("order", seed, epoch))
        parts = order.to(labels.device).tensor_split(math.ceil(len(labels) / batch_size))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            picked = parts[step]
            chosen = images[picked]
            if augment is not None:
                chosen = augment(chosen, _generator("augment", seed, epoch, step))
            return chosen, labels[picked]

        return map(batch, range(start, len(parts)))


def list_data() -> list[str]:
    """Return the names that `load_data` knows."""
    return ["cifar10", "digits", "folder", "offset_pairs"]


def check_data(name: str, *, data_dir: str | Path | None = None) -> None:
    """Check cheaply, without reading a picture, that `load_data` will find the dataset.

    Raises:
        UserError: no such dataset; it is not there; a folder that `pictures.check_folder` refuses; a
            `data_dir` for a dataset that has none.
    """
    if name not in list_data():
        raise UserError(f"unknown dataset '{name}'{did_you_mean(name, list_data())} (known: {', '.join(list_data())})")
    if name == "folder":
        pictures.check_folder(data_dir)
    elif name == "cifar10":
        pictures.check_cifar10(data_dir)
    elif data_dir is not None:
        raise UserError(f"dataset '{name}' comes with lambdalab and takes no data_dir; leave it out")


def load_data(
    name: str = "digits",
    *,
    data_dir: str | Path | None = None,
    val_fraction: float = 0.1,
    split_seed: int = 0,
    size: int | None = None,
    download: bool = False,
) -> ImageData:
    """Load or make a dataset.

    * ``digits``: 1,797 real handwritten digits, 8×8, grey, from scikit-learn: `pictures.read_digits`.
    * ``offset_pairs``: made pictures, whose class is where one mark stands from another: `offset_pairs`.
    * ``cifar10``: 60,000 colour pictures, 32×32, with their own test part: `pictures.read_cifar10`.
    * ``folder``: your own, in ``data_dir/train/CLASS/``, maybe ``val/``, ``test/``: `pictures.read_folder`.

    Where a dataset has no test part, a quarter of each class becomes it, always the same quarter. Where it
    has no validation part, `val_fraction` of each class of what is left becomes it.

    Args:
        name: one of `list_data`.
        data_dir: where ``folder`` or ``cifar10`` is; default for cifar10: ``data/cache/cifar10``.
        val_fraction: above 0, at most 0.5.
        split_seed: decides which pictures are in `val`, and what ``offset_pairs`` makes to train on.
        size: side in pixels, for ``offset_pairs`` (default 24) and ``folder`` (default: as the files are).
        download: whether cifar10 may be downloaded if it is not there.

    Raises:
        UserError: an unknown name, a value out of range, data that are missing or damaged.
    """
    if not (name == "cifar10" and download):
        check_data(name, data_dir=data_dir)
    if not 0 < val_fraction <= 0.5:
        raise UserError(f"val_fraction is {val_fraction}; it must be above 0 and at most 0.5")
    if size is not None and name in ("digits", "cifar10"):
        raise UserError(f"dataset '{name}' has pictures of one size; leave size out")
    parts, classes = _read(name, data_dir, split_seed, size, download)
    parts = {part: Split(*tensors) for part, tensors in parts.items()}
    if "test" not in parts:
        parts["train"], parts["test"] = _split_off(parts["train"], TEST_FRACTION, "test")
    if "val" not in parts:
        parts["train"], parts["val"] = _split_off(parts["train"], val_fraction, "val", split_seed)
    mean, std = _mean_and_std(parts["train"].images)
    config = {"name": name, "data_dir": data_dir and str(data_dir), "size": size}
    config |= {"val_fraction": val_fraction, "split_seed": split_seed}
    return ImageData(name, **parts, classes=classes, mean=mean, std=std, config=config)


def _read(name: str, data_dir: str | Path | None, split_seed: int, size: int | None, download: bool) -> tuple:
    """Return the parts that a dataset comes with, (images, labels) by name, and its classes."""
    if name == "digits":
        return pictures.read_digits()
    if name == "offset_pairs":
        seeds = {"train": _generator("offset_pairs", split_seed), "test": _generator("offset_pairs test")}
        return make_offset_pairs(24 if size is None else size, **seeds)
    if name == "cifar10":
        return pictures.read_cifar10(data_dir, download)
    return pictures.read_folder(data_dir, size)


def _split_off(whole: Split, fraction: float, *key: str | int) -> tuple[Split, Split]:
    """Return (the rest, the part): `fraction` of each class, at least one picture, chosen by `key` alone."""
    order = torch.randperm(len(whole.labels), generator=_generator(*key))
    chosen = torch.zeros(len(order), dtype=torch.bool)
    for label in whole.labels.unique():
        members = order[whole.labels[order] == label]
        chosen[members[: max(1, round(fraction * len(members)))]] = True
    return tuple(Split(whole.images[part], whole.labels[part]) for part in (~chosen, chosen))


def _mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each channel's mean and standard deviation in units of [0, 1], from counts of the 256 bytes.

    A channel that never varies gets a byte's least step, 1/255, as its deviation, so that it becomes zeros.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(dim=1)]
    weights = torch.stack(counts).double() / images[:, 0].numel()
    mean = weights @ levels
    variance = (weights * (levels - mean[:, None]) ** 2).sum(dim=1)
    return tuple(mean.tolist()), tuple(variance.sqrt().clamp(min=1 / 255).tolist())


def _generator(*key: str | int | None) -> torch.Generator:
    """Return a CPU generator that is a pure function of `key`, and unrelated for any two keys."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
