"""A training recipe: everything that shapes a run apart from the model and the data, and its learning rate.

Plain Python, so that the command line can offer its options without loading torch.
"""

import math
from dataclasses import Field, dataclass, field, fields

from lambdalab.errors import UserError

SCHEDULES = ("cosine", "warm_restarts", "constant")


def _option(default, help: str, low: float | None = None, high: float | None = None, choices: tuple = ()):
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The defaults train the small models on the bundled digits in about a minute on two cores.

    Raises:
        UserError: if a value is out of its range; the message names it, the range, and the value.
    """

    epochs: int = _option(30, "passes over the training pictures", low=1)
    batch_size: int = _option(64, "pictures in a step", low=1)
    optimizer: str = _option("sgd", "sgd (Nesterov momentum) or adamw", choices=("sgd", "adamw"))
    lr: float = _option(0.1, "peak learning rate", low=0)
    momentum: float = _option(0.9, "of sgd; adamw has its usual betas", low=0, high=0.9999)
    nesterov: bool = _option(True, "Nesterov's form of sgd's momentum")
    weight_decay: float = _option(2e-3, "on all parameters", low=0)
    schedule: str = _option("cosine", "cosine, warm_restarts (the original's) or constant", choices=SCHEDULES)
    warmup_epochs: float = _option(0.5, "linear warm-up from 0, in epochs", low=0)
    min_lr: float = _option(0.0, "where a cosine ends", low=0)
    restart_epochs: int = _option(10, "first cycle of warm_restarts; each next one is twice as long", low=1)
    label_smoothing: float = _option(0.1, "share of the target spread over all classes", low=0, high=0.99)
    clip_norm: float = _option(0.0, "largest norm of the gradient; 0: no clipping", low=0)
    ema_decay: float = _option(0.0, "decay of the evaluated average of the weights; 0: none", low=0, high=0.99999)
    crop: int = _option(1, "augmentation: random shifts by up to so many pixels", low=0)
    flip: bool = _option(False, "augmentation: random left-right flips")
    cutout: int = _option(0, "augmentation: width of a square set to 0", low=0)
    precision: str = _option("fp32", "fp32, bf16 or fp16 (mixed)", choices=("fp32", "bf16", "fp16"))
    channels_last: bool = _option(False, "memory layout that convolutions on GPUs prefer")
    cuda_graphs: bool = _option(False, "record a step once and replay it: faster for small networks on a GPU")
    device: str = _option("auto", "auto, cpu, cuda or mps", choices=("auto", "cpu", "cuda", "mps"))
    seed: int = _option(0, "of the order of pictures, augmentation and dropout", low=0)

    def __post_init__(self):
        for option in fields(self):
            check_option(option, getattr(self, option.name))
        if self.warmup_epochs >= self.epochs:
            raise UserError(f"warmup_epochs must be below epochs = {self.epochs}, got {self.warmup_epochs}")


def check_option(option: Field, value) -> None:
    """Refuse a value of the wrong type or out of its option's range.

    Raises:
        UserError: naming the option, what is allowed, and the value.
    """
    kind = float if option.type is float and type(value) is int else type(value)
    if kind is not option.type:
        raise UserError(f"{option.name} must be of type {option.type.__name__}, got {value!r}")
    low, high, choices = (option.metadata[name] for name in ("low", "high", "choices"))
    if choices and value not in choices:
        raise UserError(f"{option.name} must be one of {', '.join(choices)}; got '{value}'")
    if kind is float and not math.isfinite(value):
        raise UserError(f"{option.name} must be a finite number, got {value}")
    if low is not None and value < low:
        raise UserError(f"{option.name} must be at least {low}, got {value}")
    if high is not None and value > high:
        raise UserError(f"{option.name} must be at most {high}, got {value}")


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """Return the learning rate after ``epoch`` epochs, a pure function, so that a resumed run needs no scheduler state.

    cosine: warm-up to lr, then min_lr + (lr − min_lr)·(1 + cos(π·t))/2, t from 0 to 1 (Loshchilov & Hutter 2017, arXiv
    1608.03983, eq. 5). warm_restarts: the same in cycles of 10, 20, 40, … epochs and constant within an epoch, as in
    the original's log; equals PyTorch's ``CosineAnnealingWarmRestarts`` bit for bit.
    """
    if epoch < config.warmup_epochs:
        return config.lr * epoch / config.warmup_epochs
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "warm_restarts":
        done, length = math.floor(epoch), config.restart_epochs
        while done >= length:
            done, length = done - length, length * 2
    else:
        done, length = epoch - config.warmup_epochs, config.epochs - config.warmup_epochs
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * done / length)) / 2
