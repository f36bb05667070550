"""One experiment, model by name, data by name, recipe, as the notebooks and the command line start it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lambdalab.data import ImageData, check_data, load_data
from lambdalab.errors import UserError
from lambdalab.models import ResNet, create_model
from lambdalab.recipe import TrainConfig
from lambdalab.train_state import find_device
from lambdalab.training import Fit, fit


@dataclass(frozen=True)
class Experiment:
    """What to train on what, and how. Making one checks everything that can be checked without reading a picture.

    Attributes:
        model: one of ``list_models()``.
        dataset: one of ``list_data()``.
        config: the recipe; its seed also draws the weights.
        data_dir: where ``cifar10`` or ``folder`` is.
        options: fields of ``ModelConfig`` to change; those that are ``None`` stay the model's own, and ``scope=0``
            asks for the global context. Channels and classes follow the data.
        download: whether cifar10 may be downloaded if it is not there.

    Raises:
        UserError: an unknown model, dataset or option, a shape that cannot be built, data that are not there, or a
            device that is not there.
    """

    model: str
    dataset: str = "digits"
    config: TrainConfig = field(default_factory=TrainConfig)
    data_dir: str | None = None
    options: dict = field(default_factory=dict)
    download: bool = False

    def __post_init__(self):
        with torch.device("meta"):
            self._create(channels=3, size=(32, 32))
        find_device(self.config.device)
        if not (self.dataset == "cifar10" and self.download):
            check_data(self.dataset, data_dir=self.data_dir)

    def load_data(self) -> ImageData:
        """Load the dataset."""
        return load_data(self.dataset, data_dir=self.data_dir, download=self.download)

    def create_model(self, data: ImageData) -> ResNet:
        """Make the network for the data, with weights drawn from the recipe's seed."""
        torch.manual_seed(self.config.seed)
        return self._create(data.channels, data.size, num_classes=data.num_classes)

    def run(self, out: str | Path | None = None, stop_after: float | None = None, progress: bool = True) -> Fit:
        """Load, make, and ``fit``; the arguments are fit's."""
        data = self.load_data()
        return fit(self.create_model(data), data, self.config, out=out, stop_after=stop_after, progress=progress)

    def _create(self, channels: int, size: tuple[int, int], **shape) -> ResNet:
        options = {name: value for name, value in self.options.items() if value is not None}
        if options.get("scope") == 0:
            if size[0] != size[1]:
                raise UserError(f"scope=0, the global context, needs square pictures; these are {size[0]}×{size[1]}")
            options.update(scope=None, image_size=size[0])
        return create_model(self.model, channels=channels, **{**shape, **options})


def parse_duration(text: str | None) -> float | None:
    """Return the seconds that a text such as "90s", "9m", "1h30m" or "90" stands for; ``None`` stays ``None``.

    Raises:
        UserError: if it is no duration.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if not found or not any(found.groups()):
        raise UserError(f"'{text}' is no duration; write 90s, 9m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
