"""The training benchmark: this kit's whole loop against the original's way, on the same pictures, in the same rounds.

Ours is what ``fit`` does: pictures held on the device, batches augmented as a whole, channels-last, the planner's order
of sums, bfloat16 on a GPU. The original's way is written anew: its layer in its own order in a network of the same
shape (its 3-D convolution, of depth 1, is ``OriginalLambdaLayer``'s 2-D one), float32, and a DataLoader that crops,
flips and normalises picture after picture with torchvision. Source: leaderj1001/LambdaNetworks, main.py and config.py.

The pictures are random bytes: what they show costs no time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.augment import Augment
from lambdalab.bench.memory import peak_columns, peak_megabytes
from lambdalab.bench.model import with_original_layers
from lambdalab.bench.records import Row
from lambdalab.bench.rounds import compared, paired_rounds
from lambdalab.data import ImageData, Split
from lambdalab.errors import UserError, did_you_mean
from lambdalab.models import create_model
from lambdalab.recipe import TrainConfig
from lambdalab.timing import one_thread
from lambdalab.train_state import TrainState

SIDES = ("lambdalab", "original's way")
CLASSES = 10


class Case(NamedTuple):
    """A network and what it is trained on for a round.

    Attributes:
        name: of the case.
        model: of ``list_models()``.
        options: fields of ``ModelConfig`` to change.
        size: pixels of a picture's side.
        crop: pixels of padding for the random crop.
        batch: pictures a step.
        steps: in a round.
    """

    name: str
    model: str
    options: dict
    size: int
    crop: int
    batch: int
    steps: int

    @property
    def pictures(self) -> int:
        """How many a round sees."""
        return self.batch * self.steps


CASES = {
    "laptop": Case("laptop", "lambda_resnet11_tiny", {"scope": 7}, size=16, crop=2, batch=128, steps=8),
    "readme": Case(
        "readme", "lambda_resnet26", {"stem": "cifar", "dim_u": 4, "scope": 7}, size=32, crop=4, batch=32, steps=2
    ),
}


def choose_cases(names: str | None, batch: int | None = None, steps: int | None = None) -> list[Case]:
    """Return the cases that a list with commas names, or all, with another batch or number of steps if given.

    Raises:
        UserError: if there is no such case.
    """
    chosen = list(CASES) if names is None else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in CASES:
            raise UserError(f"no network '{name}'{did_you_mean(name, list(CASES))} (there are {', '.join(CASES)})")
    changes = {name: value for name, value in (("batch", batch), ("steps", steps)) if value is not None}
    return [CASES[name]._replace(**changes) for name in dict.fromkeys(chosen)]


def make_pictures(case: Case) -> ImageData:
    """Make a round's pictures of random bytes, the same each time; the other parts are empty."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.pictures, 3, case.size, case.size)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    train = Split(images, torch.randint(0, CLASSES, shape[:1], generator=generator))
    none = Split(images[:0], train.labels[:0])
    names = tuple(map(str, range(CLASSES)))
    return ImageData("random", train, none, none, names, mean=(0.5,) * 3, std=(0.29,) * 3, config={})


class Loop(NamedTuple):
    """One side's training: what an epoch's batches are, and a step on one of them."""

    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    step: Callable[[Tensor, Tensor], None]

    def epoch(self) -> None:
        """Train on every picture once."""
        for images, labels in self.batches():
            self.step(images, labels)


def make_loop(side: str, case: Case, device: str = "cpu", workers: int = 0) -> Loop:
    """Make a side's network, optimiser and batches.

    Args:
        side: of ``SIDES``.
        case: what is trained.
        device: where.
        workers: of the original's DataLoader; 0 loads in the training process.
    """
    network = create_model(case.model, num_classes=CLASSES, **case.options)
    data = make_pictures(case)
    if side == SIDES[0]:
        return _our_loop(network, data, case, device)
    return _original_loop(with_original_layers(network), data, case, device, workers)


def _our_loop(network: nn.Module, data: ImageData, case: Case, device: str) -> Loop:
    precision = "bf16" if torch.device(device).type == "cuda" else "fp32"
    shape = {"batch_size": case.batch, "crop": case.crop, "flip": True, "clip_norm": 2.0, "warmup_epochs": 0}
    fast = {"channels_last": True, "cuda_graphs": True, "precision": precision}
    config = TrainConfig(**shape, **fast, weight_decay=5e-4, device=device)
    state = TrainState(network, config, torch.device(device), case.steps)
    data, augment, epochs = data.to(device), Augment(crop=config.crop, flip=config.flip), count()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        order = {"seed": config.seed, "epoch": next(epochs), "augment": augment}
        for images, labels in data.batches(data.train, config.batch_size, **order):
            yield data.normalise(images), labels

    return Loop(batches, state.train_step)


def _original_loop(network: nn.Module, data: ImageData, case: Case, device: str, workers: int) -> Loop:
    from torchvision import transforms

    network = network.to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    steps = [transforms.RandomCrop(case.size, padding=case.crop), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    dataset = PictureByPicture(data.train, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(dataset, case.batch, shuffle=True, num_workers=workers)

    def step(images: Tensor, labels: Tensor) -> None:
        network.train()
        images, labels = images.to(device), labels.to(device)
        logits = network(images)
        (logits.argmax(dim=1) == labels).sum().item()  # counted after each step, as there
        optimiser.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimiser.step()

    return Loop(lambda: loader, step)


class PictureByPicture(torch.utils.data.Dataset):
    """Pictures as torchvision's CIFAR10 serves them: an array of bytes, made a Pillow image, transformed."""

    def __init__(self, split: Split, transform: Callable):
        self.images = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels, self.transform = split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


@dataclass(frozen=True)
class TrainingBench:
    """How to measure; ``rows`` does it.

    Attributes:
        device: "cpu", on one thread, or "cuda".
        workers: of the original's DataLoader.
        repeats: rounds for a case, at most.
        seconds: for a case.
        memory: whether to measure a step's peak memory too, a process for each side.
    """

    device: str = "cpu"
    workers: int = 0
    repeats: int = 5
    seconds: float = 120
    memory: bool = False

    def rows(self, chosen: Iterable[Case], progress: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Measure the cases; one row for each case and side.

        ``ratio`` is a side's time over ours, ``load`` how many programs wanted a core before: above the number of cores
        seconds are longer than they need be, for both sides alike.
        """
        import psutil

        rows = []
        with one_thread():
            for case in chosen:
                progress(case.name)
                load = psutil.getloadavg()[0]
                loops = {side: make_loop(side, case, self.device, self.workers) for side in SIDES}
                epochs = {side: loop.epoch for side, loop in loops.items()}
                taken = paired_rounds(epochs, self.repeats, self.seconds, self.device)
                del loops, epochs
                peaks = {side: self._peak(side, case) if self.memory else None for side in SIDES}
                for side, times in compared(taken, SIDES[0]).items():
                    what = {"network": case.name, "model": case.model, "size": case.size, "batch": case.batch}
                    rate = {"images_per_second": case.pictures / times["seconds"]}
                    rate["seconds_per_1000"] = 1000 / rate["images_per_second"]
                    row = {**what, "pictures": case.pictures, "side": side, **times, **rate}
                    rows.append({**row, **peak_columns(peaks, side, SIDES[0]), "load": load})
        return [{**row, "device": self.device, "workers": self.workers} for row in rows]

    def _peak(self, side: str, case: Case) -> float | None:
        return peak_megabytes(rehearsed_step, side, case, self.device, device=self.device)


def rehearsed_step(side: str, case: Case, device: str) -> Callable[[], None]:
    """Return a side's epoch of one step, after a step on two pictures, so that the optimiser has its momenta."""
    loop = make_loop(side, case._replace(steps=1), device)
    images, labels = next(iter(loop.batches()))
    loop.step(images[:2], labels[:2])
    return loop.epoch
