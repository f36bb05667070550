"""The state of a training run between two steps, and the step that moves it."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.errors import UserError
from lambdalab.graphs import RecordedModel
from lambdalab.processes import Processes
from lambdalab.recipe import TrainConfig, learning_rate

COUNTERS = ("epoch", "step", "seconds", "cpu_seconds", "history")


class TrainState:
    """Model, optimiser, average and counters of a run.

    Args:
        model: pictures → logits; moved to the device and changed in place.
        config: the recipe.
        device: where to train.
        steps: steps in an epoch.
        processes: those that train together; all of them hold the same state.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        device: torch.device,
        steps: int,
        processes: Processes = Processes(),  # noqa: B008  (frozen: one process)
    ):
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.config, self.device, self.steps, self.processes = config, device, steps, processes
        self.model = model.to(device=device, memory_format=layout)
        processes.prepare(self.model)
        self.ema = copy.deepcopy(model) if config.ema_decay else None
        self.accelerator = make_accelerator(device, config.precision)
        self.optimizer = self.accelerator.prepare(make_optimizer(config, model.parameters()))
        self.forward = self._recorded() if config.cuda_graphs and device.type == "cuda" else self.model
        self.epoch = self.step = 0  # epochs done; steps done in the epoch under way
        self.seconds = self.cpu_seconds = 0.0  # of the epoch under way: by the clock; of the processor, all threads
        wide = torch.float64 if device.type == "cpu" else torch.float32
        self.totals = torch.zeros(3, dtype=wide, device=device)  # loss, correct, seen of the epoch under way
        self.history: list[dict] = []
        torch.manual_seed(config.seed)

    @property
    def evaluated(self) -> nn.Module:
        """The model whose accuracy counts: the average, if there is one."""
        return self.model if self.ema is None else self.ema

    def _recorded(self) -> RecordedModel | nn.Module:
        """The model as recorded passes; several processes talk to each other in theirs, which cannot be recorded."""
        from accelerate.utils import AutocastKwargs

        if self.processes.count > 1:
            return self.model
        return RecordedModel(self.model, lambda: self.accelerator.autocast(AutocastKwargs(cache_enabled=False)))

    def train_step(self, images: Tensor, labels: Tensor) -> None:
        """Take one step of the optimiser on a batch of normalised pictures, the whole batch in every process."""
        self.model.train()
        self.processes.seed_step(self.config.seed, self.epoch, self.step)
        own, whole = self.processes.share(len(labels)), len(labels)
        images, labels = images[own], labels[own]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.epoch + self.step / self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        with self.accelerator.autocast():
            logits = self.forward(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        self.accelerator.backward(loss * (len(labels) / whole))
        self.processes.sum_gradients(self.model)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        if self.ema is not None:
            update_average(self.ema, self.model, self.config.ema_decay)
        correct = (logits.argmax(dim=1) == labels).sum()
        counted = torch.stack([loss.detach() * len(labels), correct, torch.full_like(correct, len(labels))])
        self.totals += self.processes.sum(counted)
        self.step += 1

    def end_epoch(self, val: dict[str, float]) -> dict:
        """Close the epoch: return its row, which ``history`` has too, and begin the next."""
        loss, correct, seen = self.totals.tolist()
        row = {
            "epoch": self.epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss / seen,
            "train_top1": correct / seen,
            "val_loss": val["loss"],
            "val_top1": val["top1"],
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "images_per_second": round(seen / max(self.seconds, 1e-9), 1),
        }
        self.history.append(row)
        self.epoch, self.step, self.seconds, self.cpu_seconds = self.epoch + 1, 0, 0.0, 0.0
        self.totals.zero_()
        return row

    def checkpoint(self) -> dict:
        """Return all that going on needs, for ``save_checkpoint``."""
        scaler = self.accelerator.scaler
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "random": torch.get_rng_state(),  # dropout draws from it
            "random_cuda": [torch.cuda.get_rng_state()] if self.device.type == "cuda" else [],
            "totals": self.totals,
            "counters": {name: getattr(self, name) for name in COUNTERS},
        }

    def restore(self, checkpoint: dict) -> None:
        """Go back to a checkpoint of the same run.

        Raises:
            UserError: if it belongs to another model or recipe.
        """
        try:
            self.model.load_state_dict(checkpoint["model"])
            if self.ema is not None:
                self.ema.load_state_dict(checkpoint["ema"])
            optimizer = checkpoint["optimizer"]
            state = {int(index): values for index, values in optimizer["state"].items()}
            self.optimizer.load_state_dict({**optimizer, "state": state})
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(checkpoint["scaler"])
            torch.set_rng_state(checkpoint["random"])
            if self.device.type == "cuda" and checkpoint["random_cuda"]:
                torch.cuda.set_rng_state(checkpoint["random_cuda"][0])
            self.totals.copy_(checkpoint["totals"])
            for name, value in checkpoint["counters"].items():
                setattr(self, name, value)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"the checkpoint is not of this model and recipe ({str(error).splitlines()[0]})") from None


def make_optimizer(config: TrainConfig, parameters) -> torch.optim.Optimizer:
    """Make the recipe's optimiser."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    nesterov = config.nesterov and config.momentum > 0
    shape = {"momentum": config.momentum, "nesterov": nesterov, "weight_decay": config.weight_decay}
    return torch.optim.SGD(parameters, lr=config.lr, **shape)


def find_device(name: str) -> torch.device:
    """Return the device of a recipe: "auto" is a GPU where there is one.

    Raises:
        UserError: if a GPU is asked for where there is none.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if there["cuda"] else "mps" if there["mps"] else "cpu")
    if not there.get(name, False):
        raise UserError(f"there is no '{name}' device here; use device=cpu or device=auto (lambdalab doctor says more)")
    return torch.device(name)


def make_accelerator(device: torch.device, precision: str):
    """Return an Accelerate helper for a device and a precision: autocast, loss scaling, clipping."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate keeps one configuration for the process' life; a notebook trains in one precision after another.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an exponential moving average of a model's weights and batch-norm statistics: a ← decay·a + (1−decay)·w."""
    state = model.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name], 1 - decay)
        else:
            value.copy_(state[name])
