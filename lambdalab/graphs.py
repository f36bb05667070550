"""A model's passes recorded as CUDA graphs, so that a step takes the GPU's time and not Python's.

A small network keeps a large GPU busy for a few milliseconds a step, and Python takes longer than that to start the
thousand kernels of which it consists. Recorded once, they are started together.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from lambdalab.errors import UserError


class RecordedModel:
    """Calls a model in training mode, as recorded at the first batch of each shape: the forward and the backward pass.

    Weights, batch-norm statistics and results are the model's own. What is recorded is replayed as it was, so nothing
    in the model may depend on the values of a batch; in no network of ``models`` anything does. The logits of a call
    are overwritten by the next one of that shape.

    Args:
        model: pictures → logits, on a GPU.
        autocast: makes the context in which it computes, without a cache of weights, which a recording cannot keep.

    Raises:
        UserError: when called, if the model does what cannot be recorded, such as waiting for a number.
    """

    def __init__(self, model: nn.Module, autocast: Callable[[], AbstractContextManager]):
        self.model, self.autocast = model, autocast
        self.recorded: dict[torch.Size, nn.Module] = {}

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape not in self.recorded:
            self.recorded[images.shape] = self._record(images)
        return self.recorded[images.shape](images)

    def _record(self, images: Tensor) -> nn.Module:
        """Return a module whose forward is the recording; its rehearsals leave no trace in the model."""
        # The recording keeps its weights' nodes, and the stream they were made on; autograd warns, and waits for it.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        before = [buffer.clone() for buffer in self.model.buffers()]
        try:
            with self.autocast():
                recorded = torch.cuda.make_graphed_callables(_Whole(self.model), (images.clone(),))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"the model cannot be recorded ({reason}); train it with cuda_graphs=False") from error
        for buffer, value in zip(self.model.buffers(), before, strict=True):
            buffer.copy_(value)
        return recorded


class _Whole(nn.Module):
    """The model in a module of its own, so that its own forward stays as it is."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)
