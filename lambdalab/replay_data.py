"""The pictures of a replay, under the name that a result on them may have, and their lossless twins."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lambdalab.data import ImageData, Split, load_data
from lambdalab.errors import UserError
from lambdalab.pictures import check_folder, read_folder, through_jpeg
from lambdalab.queue import Source
from lambdalab.recipe import TrainConfig
from lambdalab.train_state import find_device, make_accelerator
from lambdalab.training import evaluate


@dataclass(frozen=True, eq=False)
class ReplayData:
    """A queue's source, loaded.

    Attributes:
        data: the pictures; ``data.config`` has a checksum of them in place of this machine's path.
        folder: where they were read.
        lossless: the true pixels of test pictures, some or all, and ``stored`` the same ones as ``data.test`` has them.
    """

    data: ImageData
    folder: str | None
    lossless: Split | None = None
    stored: Split | None = None

    def evaluation_seconds(self, model: nn.Module) -> float:
        """Measure on a few pictures how long all evaluations and files after a last step will take, generously."""
        few = Split(*(tensor[:256] for tensor in self.data.test))
        evaluate(model, self.data, few)  # the first pass also makes plans and buffers
        began = time.monotonic()
        evaluate(model, self.data, few)
        parts = (self.data.val, self.data.test, self.lossless, self.stored)
        pictures = sum(len(part.labels) for part in parts if part is not None)
        return 1.5 * (time.monotonic() - began) * pictures / len(few.labels) + 2

    def lossless_results(self, model: nn.Module, config: TrainConfig) -> dict:
        """Return top-1 and loss on the lossless pictures, and top-1 on the same ones as stored, for summary.json."""
        if self.lossless is None:
            return {}
        with make_accelerator(find_device(config.device), config.precision).autocast():
            lossless = evaluate(model, self.data, self.lossless)
            stored = evaluate(model, self.data, self.stored)
        return {
            "lossless_top1": lossless["top1"],
            "lossless_loss": lossless["loss"],
            "lossless_pictures": len(self.lossless.labels),
            "lossless_stored_top1": stored["top1"],
        }


def load_replay_data(source: Source, root: Path, say: Callable[[str], None] = print) -> ReplayData:
    """Load a source whose folders are below ``root``.

    Raises:
        UserError: as ``load_data``; a lossless picture that is not among the test pictures.
    """
    folder = None if source.folder is None else str(root / source.folder)
    if folder is not None and not Path(folder).is_dir():
        raise UserError(
            f"{source.label} needs the folder {folder}; put its pictures there, or name another with --data"
        )
    data = load_data(source.dataset, data_dir=folder, size=source.size)
    config = {key: value for key, value in data.config.items() if key != "data_dir"}
    stored = data if source.jpeg is None else _through_jpeg(data, source.jpeg)
    config |= {"name": source.label, "dataset": source.dataset, "jpeg": source.jpeg, "pixels": checksum(stored)}
    stored = replace(stored, name=source.label, config=config)
    if source.jpeg is not None:
        return ReplayData(stored, folder, lossless=data.test, stored=stored.test)
    if source.lossless is None:
        return ReplayData(stored, folder)
    if not (root / source.lossless).is_dir():
        say(f"no {root / source.lossless}: results will not say how good they are on lossless pictures")
        return ReplayData(stored, folder)
    return ReplayData(stored, folder, *_twins(stored, Path(folder), root / source.lossless, source.size))


def _through_jpeg(data: ImageData, quality: int) -> ImageData:
    """Return the data with all pictures through JPEG; their mean and deviation stay those of the true ones."""

    def part(split: Split) -> Split:
        return Split(through_jpeg(split.images, quality), split.labels)

    return replace(data, train=part(data.train), val=part(data.val), test=part(data.test))


def checksum(data: ImageData) -> str:
    """Return a short checksum of all pictures and labels, which says whether two runs saw the same ones."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (data.train, data.val, data.test):
        for tensor in part:
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _twins(data: ImageData, folder: Path, lossless: Path, size: int | None) -> tuple[Split, Split]:
    """Return the lossless test pictures, and the same ones of ``data.test``: of one class and one name."""

    def names(root: Path) -> list[str]:
        return [f"{path.parent.name}/{path.stem}" for path, _ in check_folder(root)[0].get("test", [])]

    place = {name: index for index, name in enumerate(names(folder))}
    wanted = names(lossless)
    missing = [name for name in wanted if name not in place]
    if missing or not wanted:
        what = f"test/{missing[0]}, which {folder} lacks" if missing else "no folder test/"
        raise UserError(f"{lossless} has {what}; it must hold some of the same test pictures, under the same names")
    rows = torch.tensor([place[name] for name in wanted])
    parts, classes = read_folder(lossless, size)
    if classes != data.classes:
        raise UserError(f"{lossless} has the classes {', '.join(classes)}; {folder} has {', '.join(data.classes)}")
    return Split(*parts["test"]), Split(*(tensor[rows] for tensor in data.test))
