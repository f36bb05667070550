"""The replay queue: a YAML file of rows, each a network, its data and a recipe, trained once for each of its seeds.

``read_queue(Path("configs/replays.yaml"))`` gives the rows in order. A file has ``datasets`` and ``recipes`` by name,
the rows for each class of machine, ``gpu`` and ``laptop``, and ``defaults``, which fill in what a row leaves out.
Everything is checked on reading, so that a mistake in the last row does not wait for days to show.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_args

from lambdalab.cost import model_cost
from lambdalab.data import list_data
from lambdalab.errors import UserError, did_you_mean
from lambdalab.models import ModelConfig, model_config
from lambdalab.recipe import TrainConfig

MACHINES = ("gpu", "laptop")
SECTIONS = {"datasets": dict, "recipes": dict, "defaults": dict, "gpu": list, "laptop": list}
SOURCE = {"dataset": str, "label": str, "folder": str, "lossless": str, "size": int, "jpeg": int}
DEFAULTS = {"data": str, "recipe": str, "seeds": list}
ROW = {"name": str, "answers": str, "model": str, "options": dict, "train": dict, "readme": int, **DEFAULTS}
WRITTEN = {dict: "a table", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
OF_THE_DATA = ("name", "block", "depths", "channels", "image_size")  # what a row cannot set


@dataclass(frozen=True)
class Source:
    """Where pictures come from and what a result on them is called.

    Attributes:
        dataset: one of ``list_data()``.
        label: the name in every table, "CIFAR-10, JPEG q75" for instance.
        folder: where they are, below the folder of all data.
        lossless: a folder beside it with the true pixels of some test pictures, under the same names.
        size: side in pixels to which pictures are resized; ``None``: as they are.
        jpeg: the quality of the JPEG files that the pictures go through, to see what that costs; ``None``: they do not.
    """

    dataset: str
    label: str
    folder: str | None = None
    lossless: str | None = None
    size: int | None = None
    jpeg: int | None = None


@dataclass(frozen=True)
class Row:
    """One line of a result table: what is trained, once for each seed.

    Attributes:
        name: unique in the queue; a run's folder is called ``NAME-seed0``.
        answers: the question it helps to answer.
        machine: the class of machine it is meant for, "gpu" or "laptop".
        recipe: the recipe's name, and ``settings`` the recipe with the row's own changes.
        options: fields of ``ModelConfig`` to change; ``scope: 0`` is the global context.
        readme: which row of the original README's CIFAR-10 table it measures anew, counted from 1.
    """

    name: str
    answers: str
    machine: str
    model: str
    source: Source
    recipe: str
    settings: dict
    seeds: tuple[int, ...]
    options: dict = field(default_factory=dict)
    readme: int | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A row with one of its seeds."""

    row: Row
    seed: int

    @property
    def name(self) -> str:
        """The run's folder."""
        return f"{self.row.name}-seed{self.seed}"

    def config(self, device: str) -> TrainConfig:
        """The recipe with this seed, on a device."""
        return TrainConfig(**self.row.settings, seed=self.seed, device=device)


def read_queue(path: Path) -> list[Row]:
    """Read and check a queue.

    Raises:
        UserError: the file is not there or no YAML, or something in it is unknown, missing, of a wrong type or not
            allowed; the message names the file, the row, and what is allowed.
    """
    tables = _checked(_read_yaml(path), SECTIONS, ("datasets", "recipes"), str(path))
    sources = {name: _source(entry, f"{path}, dataset '{name}'") for name, entry in tables["datasets"].items()}
    for name, settings in tables["recipes"].items():
        _check_recipe(settings, f"{path}, recipe '{name}'")
    defaults = _checked(tables.get("defaults", {}), DEFAULTS, (), f"{path}, defaults")
    rows = []
    for machine in MACHINES:
        for number, entry in enumerate(tables.get(machine, []), 1):
            named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
            where = f"{path}, row '{entry['name']}'" if named else f"{path}, {machine} row {number}"
            rows.append(_row(entry, defaults, sources, tables["recipes"], machine, where))
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise UserError(f"{path} has two rows named '{twice[0]}'; give each row a name of its own")
    if not rows:
        raise UserError(f"{path} has no rows; put some under {' or '.join(MACHINES)}")
    return rows


def planned_runs(rows: list[Row]) -> list[PlannedRun]:
    """Return the runs of all rows: the queue's order, and in a row its seeds'."""
    return [PlannedRun(row, seed) for row in rows for seed in row.seeds]


def _row(entry, defaults: dict, sources: dict, recipes: dict, machine: str, where: str) -> Row:
    required = ("name", "answers", "model", *DEFAULTS)
    entry = _checked({**defaults, **entry} if isinstance(entry, dict) else entry, ROW, required, where)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", entry["name"], re.ASCII):
        raise UserError(f"{where}: a name becomes a folder; write it with letters, digits, '_', '-' and '.'")
    _check_known(entry["data"], sources, "dataset", where)
    _check_known(entry["recipe"], recipes, "recipe", where)
    seeds = entry["seeds"]
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: seeds must be different whole numbers from 0, such as [0, 1, 2]; got {seeds}")
    settings = {**recipes[entry["recipe"]], **entry.get("train", {})}
    _check_recipe(settings, where)
    options = entry.get("options", {})
    _check_options(entry["model"], options, where)
    names = ("name", "answers", "model", "recipe", "readme")
    shared = {name: entry.get(name) for name in names}
    source = sources[entry["data"]]
    return Row(**shared, machine=machine, source=source, settings=settings, seeds=tuple(seeds), options=options)


def _source(entry, where: str) -> Source:
    entry = _checked(entry, SOURCE, ("dataset",), where)
    _check_known(entry["dataset"], list_data(), "dataset", where)
    required = {"folder": ("folder", "label"), "cifar10": ("label",) if "jpeg" in entry else ()}
    files = ("folder", "cifar10")
    allowed = {"folder": files, "jpeg": files, "lossless": ("folder",), "size": ("folder", "offset_pairs")}
    for key, datasets in allowed.items():
        if key in entry and entry["dataset"] not in datasets:
            raise UserError(f"{where}: '{key}' goes with the dataset {' or '.join(datasets)} only; leave it out")
    if "jpeg" in entry and "lossless" in entry:
        raise UserError(f"{where}: 'jpeg' makes its own lossless twins, all the test pictures; leave out 'lossless'")
    if not 1 <= entry.get("jpeg", 75) <= 95:
        raise UserError(f"{where}: 'jpeg' is a quality from 1 to 95, got {entry['jpeg']}")
    return Source(**{"label": entry["dataset"], **_checked(entry, SOURCE, required.get(entry["dataset"], ()), where)})


def _check_recipe(settings, where: str) -> None:
    names = [option.name for option in fields(TrainConfig) if option.name not in ("seed", "device")]
    _checked(settings, dict.fromkeys(names, object), (), where)
    try:
        TrainConfig(**settings)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_options(model: str, options: dict, where: str) -> None:
    kinds = {option.name: option.type for option in fields(ModelConfig) if option.name not in OF_THE_DATA}
    _checked(options, {name: (get_args(kind) or (kind,))[0] for name, kind in kinds.items()}, (), f"{where}, options")
    options = {**options, "scope": None, "image_size": 32} if options.get("scope") == 0 else options
    try:
        model_cost(model_config(model, **options), size=32)  # refuses what cannot be built, without building it
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _checked(entry, kinds: dict, required: tuple[str, ...], where: str) -> dict:
    """Return a table whose keys are all known, there if required, and of the right type.

    Raises:
        UserError: if not.
    """
    if not isinstance(entry, dict):
        raise UserError(f"{where} must be a table of 'key: value' lines, got {entry!r:.60}")
    for key, value in entry.items():
        if key not in kinds:
            near = did_you_mean(str(key), list(kinds))
            raise UserError(f"{where}: unknown key '{key}'{near} (allowed: {', '.join(kinds)})")
        if kinds[key] is not object and type(value) is not kinds[key]:
            raise UserError(f"{where}: '{key}' must be {WRITTEN[kinds[key]]}, got {value!r:.60}")
    for key in required:
        if key not in entry:
            raise UserError(f"{where}: '{key}' is missing")
    return entry


def _check_known(name: str, known, what: str, where: str) -> None:
    if name not in known:
        raise UserError(
            f"{where}: unknown {what} '{name}'{did_you_mean(name, list(known))} (known: {', '.join(known)})"
        )


def _read_yaml(path: Path):
    """Read a YAML file, refusing a key that stands twice in one table, of which YAML's readers keep the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key) for key, _ in node.value]
            for (key, _), name in zip(node.value, keys, strict=True):
                if keys.count(name) > 1:
                    raise UserError(f"{path}, line {key.start_mark.line + 1}: '{name}' stands twice in one table")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except FileNotFoundError:
        raise UserError(f"there is no queue {path}; give one with --queue") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the queue {path} cannot be read ({error})") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the queue {path} is no YAML: {reason}") from None
