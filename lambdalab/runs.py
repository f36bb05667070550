"""A run's folder, and many runs as one table.

``config.json`` (model, data, recipe), ``environment.json`` (versions, device, commit), ``metrics.csv`` (an epoch a
row), ``summary.json``, ``last.safetensors`` (all that resuming needs), ``best.safetensors`` (the weights of the epoch
that was best on the validation part). Every file is replaced as a whole, so a killed run leaves no half of one.
"""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from lambdalab.checkpoints import load_checkpoint
from lambdalab.data import ImageData, load_data
from lambdalab.environment import environment
from lambdalab.errors import UserError
from lambdalab.files import atomic_write, write_json
from lambdalab.inputs import InputFormat
from lambdalab.models import CONFIGS, ModelConfig, ResNet
from lambdalab.recipe import TrainConfig

# The columns of metrics.csv that differ from one run to its repetition.
TIMES = ["seconds", "cpu_seconds", "images_per_second"]

# Without these a file of a run is damaged: tables and figures rely on them.
NEEDED = {
    "config.json": {"model", "data", "train"},
    "summary.json": {"parameters", "test_top1", "seconds", "device"},
    "metrics.csv": {"epoch", "seconds"},
}


@dataclass(frozen=True)
class Run:
    """A run's folder. Reading what is not there yet, or is damaged, raises UserError."""

    folder: Path

    @property
    def last(self) -> Path:
        """The checkpoint that resuming starts from."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights that were best on the validation part."""
        return self.folder / "best.safetensors"

    @property
    def config(self) -> dict:
        """The model's, the data's and the recipe's configuration."""
        return self._read("config.json", _table)

    @property
    def summary(self) -> dict:
        """The result, once the run has finished."""
        return self._read("summary.json", _table)

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return (self.folder / "summary.json").is_file()

    @property
    def metrics(self):
        """The epochs as a pandas table."""
        import pandas

        return self._read("metrics.csv", lambda text: pandas.read_csv(StringIO(text)))

    @property
    def machine(self) -> str | None:
        """Of a finished run, the GPU or the processor that trained it; None if it is not named."""
        there = (self.folder / "environment.json").is_file()
        environment = self._read("environment.json", _table) if there else {}
        return environment.get("gpu" if self.summary.get("device") == "cuda" else "processor")

    def write_config(self, config: dict) -> None:
        """Write config.json and environment.json; a run that was begun before an option came has its default.

        Raises:
            UserError: if the folder belongs to a run with another configuration.
        """
        if (self.folder / "config.json").is_file():
            _refuse_difference(_with_defaults(self.config), json.loads(json.dumps(config)), self.folder)
            return
        write_json(self.folder / "environment.json", environment())
        write_json(self.folder / "config.json", config)

    def write_metrics(self, history: list[dict]) -> None:
        """Write metrics.csv, an epoch a row."""
        import pandas

        with atomic_write(self.folder / "metrics.csv") as temporary:
            pandas.DataFrame(history).to_csv(temporary, index=False)

    def write_summary(self, summary: dict) -> None:
        """Write summary.json, which makes the run a finished one."""
        write_json(self.folder / "summary.json", summary)

    def load_model(self, which: str = "best", device: str = "cpu") -> ResNet:
        """Return the run's network with its trained weights, in evaluation mode.

        Args:
            which: "best" (on the validation part) or "last" (the last epoch's, averaged if the recipe said so).
            device: where to.

        Raises:
            UserError: if there is no such checkpoint, or it is damaged, or the model was not one of this kit's.
        """
        if which not in ("best", "last"):
            raise UserError(f"which must be 'best' or 'last', got '{which}'")
        path = self.best if which == "best" else self.last
        content, shape = load_checkpoint(path, device), self.config["model"]
        if "depths" not in shape:
            raise UserError(f"{self.folder} trained {shape['name']}, your own model; use load_checkpoint('{path}')")
        try:
            model = ResNet(ModelConfig(**{**shape, "depths": tuple(shape["depths"])})).to(device)
            model.load_state_dict(content.get("ema") or content["model"])
        except (KeyError, RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path} does not hold the weights of {shape['name']} ({reason})") from None
        return model.eval()

    def load_data(self) -> ImageData:
        """Return the pictures that the run was trained on, loaded once more.

        Raises:
            UserError: if they are not there, or it is a replay, which does not record where its pictures were.
        """
        config = self.config["data"]
        if "dataset" in config:
            raise UserError(
                f"{self.folder} was trained on {config['name']}, and does not say where these pictures are; "
                "train on them with lambdalab train --dataset folder, and give that run's folder"
            )
        return load_data(**config)

    def input_format(self, side: int) -> InputFormat:
        """Return how to show the run's network any picture, ``side`` pixels high and wide; a replay's data may be gone.

        Raises:
            UserError: as ``load_data``, for a run that is no replay.
        """
        config = self.config["data"]
        if "mean" not in config:
            data = self.load_data()
            config = {"mean": data.mean, "std": data.std}
        mean, std = config["mean"], config["std"]
        return InputFormat(len(mean), (side, side), tuple(mean), tuple(std))

    def _read(self, name: str, parse: Callable[[str], Any]) -> Any:
        path = self.folder / name
        try:
            content = parse(path.read_text(encoding="utf-8"))
            if missing := sorted(NEEDED.get(name, set()) - set(content)):
                raise ValueError(f"it has no {', '.join(missing)}")
            return content
        except FileNotFoundError:
            raise UserError(f"{self.folder} has no {name}; it is no run, or it has not got that far") from None
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path} is damaged ({reason}); delete it, or put back a good copy") from None


def _table(text: str) -> dict:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, no table")
    return content


def read_runs(folder: Path):
    """Return the finished runs below a folder as a pandas table: a row each, configuration and result as columns.

    ``row`` is the run's folder without its seed, ``machine`` the GPU or the processor that trained it. An option that
    the kit did not have yet has its default: it was added so that the default means what was done before.

    Raises:
        UserError: a run whose files are damaged, or lack what the table needs (``NEEDED``).
    """
    import pandas

    rows = []
    for path in sorted(folder.glob("**/summary.json")):
        run = Run(path.parent)
        if not (run.folder / "config.json").is_file():
            continue  # some other tool's summary
        parts = _with_defaults(run.config)
        config = {f"{part}.{key}": value for part, options in parts.items() for key, value in options.items()}
        name = path.parent.relative_to(folder).as_posix()
        row = re.sub(r"[-/]?seed\d+$", "", name) or name
        rows.append({"run": name, "row": row, **config, **run.summary, "machine": run.machine})
    return pandas.DataFrame(rows)


def _with_defaults(config: dict) -> dict:
    """Return a configuration with all options of the recipe, and of the network if it is one of this kit's."""
    kinds = {"train": TrainConfig} | ({"model": ModelConfig} if "depths" in config.get("model", {}) else {})
    known = {
        part: {option.name: option.default for option in fields(kind) if option.default is not MISSING}
        for part, kind in kinds.items()
    }
    if named := CONFIGS.get(config.get("model", {}).get("name")):
        known["model"] = asdict(named)  # the community code's networks have defaults of their own
    return {part: {**known.get(part, {}), **options} for part, options in config.items()}


def _refuse_difference(old: dict, new: dict, folder: Path) -> None:
    """Raise UserError naming the first options in which a folder's run differs from the one asked for."""
    differences = [
        f"{key} {old.get(part, {}).get(key)!r} → {new.get(part, {}).get(key)!r}"
        for part in {**old, **new}
        for key in {**old.get(part, {}), **new.get(part, {})}
        if old.get(part, {}).get(key) != new.get(part, {}).get(key)
    ]
    if differences:
        shown = ", ".join(differences[:3]) + (", …" if len(differences) > 3 else "")
        raise UserError(f"{folder} holds another run ({shown}); give another folder, or delete this one")
