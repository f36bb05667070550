"""One training run in several processes, which ``torchrun`` or ``accelerate launch`` starts.

Each process holds all pictures and serves the whole batch of a step, in the same order and with the same augmentation,
but computes its share of it. Sums over the processes make gradients, batch norms and counts those of the whole batch:
N processes take the steps that one takes, up to rounding, and a run may go on with another number of them.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lambdalab.errors import UserError


def in_main_process() -> bool:
    """Whether this process is the one that writes and prints: the only one, or the first."""
    return os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """Return how many processes train together; 1 before they have been joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def join_processes(device: torch.device) -> "Processes":
    """Join the processes that a launcher started, which waits for all of them; without a launcher there is one.

    Raises:
        UserError: if there are fewer GPUs than processes on this machine, or the device is for one process only.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"several processes train on cpu or cuda, not on {device.type}; start one process")
    if device.type == "cuda":
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise UserError(f"{place + 1} processes or more, but {gpus} GPUs here; start one process for each GPU")
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size())


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them. With one process every method gives back what it is given.

    Each method but ``share`` waits for all processes, so all must call it, in the same order.

    Attributes:
        rank: this one's number, from 0, the main one.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """Return this process' part of ``length`` pictures; all parts together are the whole, equal to within one."""
        return slice(self.rank * length // self.count, (self.rank + 1) * length // self.count)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes; values of one shape."""
        if self.count == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def gather(self, part: Tensor, length: int) -> Tensor:
        """Return the whole (length, …), given each process' share of it."""
        if self.count == 1:
            return part
        whole = part.new_zeros(length, *part.shape[1:])
        whole[self.share(length)] = part
        return self.sum(whole)

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in one process at least."""
        return bool(self.sum(torch.tensor(int(flag))))

    def same(self, number: int) -> bool:
        """Whether the number is the same in all processes."""
        return self.gather(torch.tensor([number]), self.count).unique().numel() == 1

    def do_in_main(self, work: Callable[[], object]) -> None:
        """Do something in the main process; what it refuses, all refuse.

        Raises:
            UserError: if the main process raised it.
        """
        refusal = None
        if self.main:
            try:
                work()
            except UserError as error:
                refusal = str(error)
        if self.any(refusal is not None):
            raise UserError(refusal or "the main process refused; its message says why")

    def check_shares(self, *parts: int) -> None:
        """Refuse more processes than there are pictures to share out.

        Raises:
            UserError: if a process would have no picture of one of the parts, or of a step.
        """
        if min(parts) < self.count:
            message = f"{self.count} processes share steps and parts of the data of {min(parts)} pictures or more"
            raise UserError(f"{message}; start at most {min(parts)}")

    def prepare(self, model: nn.Module) -> None:
        """Give all processes the main one's weights, and batch norms that see the whole batch; in place."""
        if self.count == 1:
            return
        for values in model.state_dict().values():
            dist.broadcast(values, src=0)
        for module in model.modules():
            if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                module.__class__ = SharedBatchNorm  # parameters, buffers and their names stay as they are

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients of all processes, in place."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        if self.count == 1 or not gradients:
            return
        total = self.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def seed_step(self, *step: int) -> None:
        """Make what the model draws in a step, for dropout say, a function of the step and of this process."""
        if self.count > 1:
            digest = hashlib.blake2b(repr((*step, self.rank)).encode(), digest_size=8).digest()
            torch.manual_seed(int.from_bytes(digest) >> 1)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, on any device; for 1-, 2- and 3-dimensional maps.

    mean = Σ x / n and var = Σ (x − mean)² / n, both sums over all processes and n all their values of a channel. So are
    the sums in the gradient. PyTorch's own ``SyncBatchNorm`` computes the same, but refuses tensors on the CPU.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept maps of any dimension."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        over, channel = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        wide = x if x.dtype == torch.float64 else x.float()
        total = _Sum.apply(torch.cat([wide.sum(over), wide.new_tensor([x.numel() / x.shape[1]])]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = wide - mean.view(channel)
        variance = _Sum.apply(centred.square().sum(over)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(channel)
        if self.affine:
            normal = normal * self.weight.view(channel) + self.bias.view(channel)
        return normal.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as every batch norm does: r ← (1 − momentum)·r + momentum·statistic."""
        if self.running_mean is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class _Sum(torch.autograd.Function):
    """The sum over the processes; since each one's loss depends on it, its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient.contiguous())
