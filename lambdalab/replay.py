"""Working through a replay queue: what has been done, the next run, and its result.

A run is trained in ``Places.work`` like any other, where it can be stopped, killed and resumed. Its result goes to
``Places.results`` when all epochs are done, file by file, each at once, and summary.json, which makes a run a finished
one, last: a result is there as a whole or not at all.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lambdalab.checkpoints import save_checkpoint
from lambdalab.cost import model_cost
from lambdalab.errors import UserError
from lambdalab.experiment import Experiment
from lambdalab.files import atomic_write, write_json
from lambdalab.models import model_config
from lambdalab.queue import PlannedRun
from lambdalab.recipe import TrainConfig
from lambdalab.replay_data import ReplayData, load_replay_data
from lambdalab.runs import Run
from lambdalab.training import Fit, fit

SMALL = 1_000_000  # bytes of weights that a result may carry into git


@dataclass(frozen=True)
class Places:
    """Folders: runs under way, results, and all data."""

    work: Path
    results: Path
    data: Path


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    Attributes:
        state: "finished", "begun", "open", or "changed": what was trained under its name had other settings.
        epochs: how many are done.
        top1: of a finished run, on the test part.
        device: that it was begun on, where it has to stay.
        changes: for "changed", the settings that differ.
    """

    state: str
    epochs: int = 0
    top1: float | None = None
    device: str | None = None
    changes: tuple[str, ...] = ()


def standing(planned: PlannedRun, places: Places) -> Standing:
    """Look up how far a run is. A result without its summary.json counts for nothing."""
    result, work = Run(places.results / planned.name), Run(places.work / planned.name)
    if not result.finished and not (work.folder / "config.json").is_file():
        return Standing("open")
    run = result if result.finished else work
    there = (run.folder / "metrics.csv").is_file()
    epochs, device = len(run.metrics) if there else 0, run.config["train"]["device"]
    if changes := differences(run.config, planned):
        return Standing("changed", epochs, device=device, changes=changes)
    if result.finished:
        return Standing("finished", epochs, result.summary["test_top1"], device)
    return Standing("begun", epochs, device=device)


def differences(recorded: dict, planned: PlannedRun) -> tuple[str, ...]:
    """Return in what a recorded configuration is not the queue's, as "lr 0.1 → 0.2"."""
    row, options = planned.row, dict(planned.row.options)
    follows = {"channels", "image_size", "device"}  # the data or the machine
    if options.get("scope") == 0:
        follows.add("scope")
    if "num_classes" not in options:
        follows.add("num_classes")
    model = json.loads(json.dumps(asdict(model_config(row.model, **options))))
    source = row.source
    wanted = {"data": {"name": source.label, "size": source.size, "jpeg": source.jpeg}, "model": model}
    wanted["train"] = asdict(planned.config("auto"))
    return tuple(
        f"{key} {recorded[part][key]!r} → {value!r}"
        for part, settings in wanted.items()
        for key, value in settings.items()
        if key not in follows and key in recorded[part] and recorded[part][key] != value
    )


def work_through(
    runs: list[PlannedRun],
    places: Places,
    device: str,
    seconds: float | None = None,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> bool:
    """Train the unfinished runs in order, resuming those begun; return whether all are done, or the time was up.

    Args:
        runs: what to do.
        places: where.
        device: "cpu", "cuda" or "mps". A run stays on the kind of device it was begun on; here it is skipped.
        seconds: how long this may take, reading and evaluating included. One step is taken in any case, so that calls
            however short come to an end.
        say: called with a line for each event.
        progress: whether to show bars.

    Raises:
        UserError: data that are not there, a run that cannot be built or resumed, or several processes.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the checkpoint is written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("replay trains a run in one process; start a replay for each GPU, they share the queue")
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    data: dict = {}  # the last source's pictures; most rows share one
    lead_in = None  # what the longest start of a run took here
    for planned in runs:
        if standing(planned, places).state == "finished":
            continue
        with _claimed(places.work / planned.name) as ours:
            now = standing(planned, places)
            if now.state == "finished":  # by another replay, a moment ago
                continue
            if reason := _obstacle(now, device, ours):
                say(f"{planned.name}: {reason}; skipped")
                continue
            if lead_in is not None and time.monotonic() + lead_in >= deadline:
                say(f"the time is up; next is {planned.name}")
                return False
            began, source = time.monotonic(), planned.row.source
            say(f"{planned.name} ({planned.row.answers}): {now.epochs} of {planned.config(device).epochs} epochs done")
            if source not in data:
                data = {source: load_replay_data(source, places.data, say)}
            job = _Job(planned, places, device, data[source])
            lead_in = max(lead_in or 0, time.monotonic() - began + job.reserve)
            if not job.finish(deadline, say, progress):
                return False
    return True


def _obstacle(now: Standing, device: str, ours: bool) -> str | None:
    """Return why a run cannot be worked on here and now, if so."""
    if not ours:
        return "another replay is at it"
    if now.state == "changed":
        return f"it was trained with other settings ({', '.join(now.changes[:3])}): rename the row or remove its folder"
    if now.state == "begun" and now.device != device:
        return f"begun on {now.device}, where it stays"
    return None


class _Job:
    """One run in hand: its experiment, data and network."""

    def __init__(self, planned: PlannedRun, places: Places, device: str, pictures: ReplayData):
        row = planned.row
        self.planned, self.places, self.pictures, self.device = planned, places, pictures, device
        self.config: TrainConfig = planned.config(device)
        try:
            made = Experiment(row.model, row.source.dataset, self.config, pictures.folder, row.options)
        except UserError as error:
            raise UserError(f"row '{row.name}': {error}") from None
        self.model = made.create_model(pictures.data).to(device)
        self.work = Run(places.work / planned.name)
        self.reserve = pictures.evaluation_seconds(self.model)

    def finish(self, deadline: float, say: Callable[[str], None], progress: bool) -> bool:
        """Train and write the result; False if stopped, when what is left suffices just for the evaluations."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic() - self.reserve)
        data, folder = self.pictures.data, self.work.folder
        result = fit(self.model, data, self.config, out=folder, stop_after=left, progress=progress)
        if not result.finished:
            say(f"stopped after {len(result.history)} of {self.config.epochs} epochs; the same command goes on")
            return False
        say(f"{self.publish(result)}\nall of it: {self.places.results / self.planned.name}")
        return True

    def publish(self, result: Fit) -> str:
        """Write the finished run's result, summary.json last; return its headline."""
        row, target = self.planned.row, Run(self.places.results / self.planned.name)
        replay = {"row": row.name, "recipe": row.recipe, "machine": row.machine, "readme": row.readme}
        summary = {**result.summary, **self.pictures.lossless_results(self.model, self.config)}
        summary["macs"] = model_cost(self.model.config, self.pictures.data.size[0]).macs
        if self.device == "cuda":
            summary["peak_megabytes"] = round(torch.cuda.max_memory_allocated() / 1e6)
        # Weights without the pictures' mean and deviation could not be shown another picture.
        scale = {"mean": self.pictures.data.mean, "std": self.pictures.data.std}
        config = self.work.config
        write_json(target.folder / "config.json", {**config, "data": {**config["data"], **scale}, "replay": replay})
        for name in ("environment.json", "metrics.csv"):
            with atomic_write(target.folder / name) as temporary:
                shutil.copyfile(self.work.folder / name, temporary)
        weights = self.model.state_dict()
        size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        if size <= SMALL and self.planned.seed == row.seeds[0]:
            save_checkpoint(target.last, {"model": weights})
        target.write_summary(summary)
        return summary["headline"]


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Claim a run's folder for this process until the block, or the process, ends; False if another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows: nothing to claim with, so start one replay at a time
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".claim", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
