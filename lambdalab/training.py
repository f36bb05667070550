"""The training loop: ``fit(model, data, TrainConfig(…))``, stopped at any moment and resumed with the same numbers.

Order of pictures and augmentation are functions of (seed, epoch, step), the learning rate of the epoch; so a
checkpoint needs the weights, the optimiser, the random state that dropout draws from, and what was counted so far.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.augment import Augment
from lambdalab.checkpoints import load_checkpoint, save_checkpoint
from lambdalab.data import ImageData, Split
from lambdalab.errors import UserError
from lambdalab.interruption import stop_signals
from lambdalab.models import count_parameters
from lambdalab.processes import join_processes
from lambdalab.recipe import TrainConfig
from lambdalab.runs import Run
from lambdalab.train_state import TrainState, find_device


@dataclass(frozen=True)
class Fit:
    """What ``fit`` gives back: an epoch a row, and the result if all epochs were trained."""

    history: list[dict]
    summary: dict | None
    folder: Path | None

    @property
    def finished(self) -> bool:
        """Whether all epochs were trained."""
        return self.summary is not None

    @property
    def metrics(self):
        """The epochs as a pandas table."""
        import pandas

        return pandas.DataFrame(self.history)


def fit(
    model: nn.Module,
    data: ImageData,
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    stop_after: float | None = None,
    progress: bool = True,
) -> Fit:
    """Train a model, or go on where an earlier call was stopped.

    Under ``torchrun`` or ``accelerate launch`` all processes call it and share each step's batch; see ``processes``.

    Args:
        model: pictures (b, C, H, W) → logits (b, classes); its weights are changed in place.
        data: the training, validation and test parts. Validation follows every epoch; the test part is used once, at
            the end, and chooses nothing.
        config: the recipe.
        out: the run's folder (see ``runs``). If it holds a run of the same configuration that was stopped or killed,
            that run goes on; if it has finished, its weights and result are loaded and nothing is trained. ``None``:
            nothing is written.
        stop_after: seconds after which to stop with a checkpoint. Ctrl-C and SIGTERM do the same at once.
        progress: whether to show a bar.

    Raises:
        UserError: if the folder holds another run or a damaged checkpoint, the model does not fit the data, or the
            device is not there.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
    """
    config = config or TrainConfig()
    device = find_device(config.device)
    processes = join_processes(device)
    data = data.to(device)
    run = None if out is None else Run(Path(out))
    kept = run if processes.main else None  # one process writes, all read
    steps = -(-len(data.train.labels) // config.batch_size)
    processes.check_shares(len(data.train.labels) // steps, len(data.val.labels), len(data.test.labels))
    check_fit(model.to(device), data)
    state = TrainState(model, config, device, steps, processes)
    if run is not None:
        processes.do_in_main(lambda: run.write_config(describe(model, data, config)))
        _resume(run, state)
    if state.epoch < config.epochs and _train_until(state, data, kept, stop_after, progress and processes.main):
        return Fit(state.history, None, run and run.folder)
    model.load_state_dict(state.evaluated.state_dict())  # the average, if the recipe has one
    if run is not None and run.finished:
        return Fit(state.history, run.summary, run.folder)
    summary = summarise(state, data)
    if kept is not None:
        kept.write_summary(summary)
    return Fit(state.history, summary, run and run.folder)


@torch.no_grad()
def predict(model: nn.Module, data: ImageData, split: Split, batch_size: int = 512) -> Tensor:
    """Return a model's outputs for a part of the data, in order: logits (N, classes), on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    batches = data.batches(split, batch_size)
    return torch.cat([model(data.normalise(images.to(device))).float() for images, _ in batches])


def evaluate(model: nn.Module, data: ImageData, split: Split, batch_size: int = 512) -> dict[str, float]:
    """Return the mean cross-entropy ("loss", nats) and the share of right guesses ("top1") on a part of the data."""
    return _measure(predict(model, data, split, batch_size), split.labels)


def describe(model: nn.Module, data: ImageData, config: TrainConfig) -> dict:
    """Return the configuration of a run, as its config.json has it."""
    shape = getattr(model, "config", None)
    named = {"name": type(model).__name__} if shape is None else asdict(shape)
    return {"model": named, "data": data.config, "train": asdict(config)}


def check_fit(model: nn.Module, data: ImageData) -> None:
    """Refuse a model that does not fit the data, by showing it two pictures.

    Raises:
        UserError: if it cannot read them, or has fewer outputs than there are classes.
    """
    pictures = data.normalise(data.train.images[:2])
    shape = tuple(pictures.shape[1:])
    try:
        with torch.inference_mode():
            logits = model.eval()(pictures)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the model fails on pictures of shape {shape}: {str(error).splitlines()[0]}") from None
    if logits.dim() != 2 or logits.shape[1] < data.num_classes:
        raise UserError(
            f"the model's outputs for a picture have shape {tuple(logits.shape[1:])}, but {data.name} has "
            f"{data.num_classes} classes; make it with num_classes={data.num_classes}"
        )


def summarise(state: TrainState, data: ImageData) -> dict:
    """Evaluate on the test part, once, and return the run's result."""
    test = _evaluate(state, data, data.test)
    best = max(state.history, key=lambda row: row["val_top1"])
    parameters, name = count_parameters(state.model), describe(state.model, data, state.config)["model"]["name"]
    return {
        "headline": f"test top-1 {test['top1']:.2%} on {data.name} ({len(data.test.labels):,} pictures): {name}, "
        f"{parameters:,} parameters, {state.config.epochs} epochs, seed {state.config.seed}",
        "parameters": parameters,
        "test_top1": test["top1"],
        "test_loss": test["loss"],
        "val_top1": state.history[-1]["val_top1"],
        "train_top1": state.history[-1]["train_top1"],
        "best_epoch": best["epoch"],
        "best_val_top1": best["val_top1"],
        "seconds": round(sum(row["seconds"] for row in state.history), 3),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in state.history), 3),
        "device": state.device.type,
    }


def _measure(logits: Tensor, labels: Tensor) -> dict[str, float]:
    labels = labels.to(logits.device)
    right = (logits.argmax(dim=1) == labels).sum().item()
    return {"loss": F.cross_entropy(logits, labels).item(), "top1": right / len(labels)}


def _evaluate(state: TrainState, data: ImageData, split: Split) -> dict[str, float]:
    """``evaluate`` in the recipe's precision, each process on its share of the pictures."""
    own = state.processes.share(len(split.labels))
    with state.accelerator.autocast():
        logits = predict(state.evaluated, data, Split(split.images[own], split.labels[own]))
    return _measure(state.processes.gather(logits, len(split.labels)), split.labels)


def _train_until(state: TrainState, data: ImageData, run: Run | None, stop_after: float | None, progress: bool) -> bool:
    """Train under a bar until the end, the deadline or a signal; True if stopped before the end."""
    deadline = float("inf") if stop_after is None else time.monotonic() + stop_after
    with stop_signals() as received, _bar(state, data, progress) as bar:

        def stop() -> bool:
            return state.processes.any(bool(received) or time.monotonic() >= deadline)

        stopped = _train(state, data, run, bar, stop)
    if received:
        raise KeyboardInterrupt
    return stopped


def _train(state: TrainState, data: ImageData, run: Run | None, bar, stop: Callable[[], bool]) -> bool:
    """Train epoch by epoch with a checkpoint after each; True if told to stop before the end."""
    config = state.config
    augment = Augment(crop=config.crop, flip=config.flip, cutout=config.cutout)
    while state.epoch < config.epochs:
        began, shown = time.monotonic() - state.seconds, 0.0
        began_cpu = time.process_time() - state.cpu_seconds  # what a busy machine does not stretch
        order = {"seed": config.seed, "epoch": state.epoch, "augment": augment, "start": state.step}
        for images, labels in data.batches(data.train, config.batch_size, **order):
            state.train_step(data.normalise(images), labels)
            now = time.monotonic()
            state.seconds, state.cpu_seconds = now - began, time.process_time() - began_cpu
            bar.update(len(labels))
            if now - shown > 0.5:  # reading a number waits for a GPU, so not at every step
                loss, correct, seen = state.totals.tolist()
                bar.set_postfix_str(f"loss {loss / seen:.3f}, {correct / seen:.1%}", refresh=False)
                shown = now
            if stop():
                _save(run, state)
                return True
        row = state.end_epoch(_evaluate(state, data, data.val))
        bar.set_description_str(f"epoch {row['epoch']}/{config.epochs}, val {row['val_top1']:.1%}")
        if run is not None and all(row["val_top1"] > earlier["val_top1"] for earlier in state.history[:-1]):
            save_checkpoint(run.best, {"model": state.evaluated.state_dict()})
        _save(run, state)
    return False


def _save(run: Run | None, state: TrainState) -> None:
    if run is not None:
        save_checkpoint(run.last, state.checkpoint())
        if state.history:
            run.write_metrics(state.history)


def _resume(run: Run, state: TrainState) -> None:
    """Go back to the folder's checkpoint, if there is one; in every process."""
    if run.last.is_file():
        try:
            state.restore(load_checkpoint(run.last))
        except UserError as error:
            raise UserError(f"cannot go on with {run.last}: {error}") from None
    elif run.finished:
        raise UserError(f"{run.folder} has finished but its last.safetensors is gone; give another folder")
    if not state.processes.same(state.epoch * state.steps + state.step):
        raise UserError(f"not all processes see {run.folder} as it is; give a folder that all machines share")


def _bar(state: TrainState, data: ImageData, progress: bool):
    """A progress bar over all pictures of all epochs."""
    from tqdm import tqdm

    pictures = len(data.train.labels)
    done = (state.epoch + state.step / state.steps) * pictures
    total = state.config.epochs * pictures
    line = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}"
    shape = {"unit": " img", "unit_scale": True, "mininterval": 0.5, "disable": not progress, "bar_format": line}
    return tqdm(total=total, initial=done, desc=f"epoch {state.epoch + 1}/{state.config.epochs}", **shape)
