"""What is around a recording, with a stand-in for the GPU's; tests/test_training.py compares real ones, on a GPU."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from lambdalab.errors import UserError
from lambdalab.graphs import RecordedModel


@pytest.fixture
def recordings(monkeypatch) -> list:
    """Replace PyTorch's recorder by one that rehearses as it does and then calls the model; the shapes it recorded."""
    shapes = []

    def record(module, sample):
        shapes.append(tuple(sample[0].shape))
        for _ in range(4):
            module(*sample)
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    return shapes


def test_each_shape_is_recorded_once(recordings):
    recorded = RecordedModel(nn.Linear(3, 2), nullcontext)
    for size in (4, 5, 4, 5, 4):
        assert recorded(torch.randn(size, 3)).shape == (size, 2)
    assert recordings == [(4, 3), (5, 3)]


def test_rehearsals_leave_no_trace(recordings):
    """One call must move the statistics as one call of the model does, not as five."""
    model, twin = (nn.Sequential(nn.BatchNorm1d(3)) for _ in range(2))
    pictures = torch.randn(8, 3)
    y = RecordedModel(model, nullcontext)(pictures)
    assert torch.equal(y, twin(pictures)) and model[0].num_batches_tracked == 1
    assert torch.equal(model[0].running_mean, twin[0].running_mean)
    assert model.state_dict().keys() == twin.state_dict().keys()


def test_a_model_that_cannot_be_recorded_is_told_in_one_line(monkeypatch):
    def fail(module, sample):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    with pytest.raises(UserError, match=r"cannot be recorded \(operation not .*\); .*cuda_graphs=False$") as error:
        RecordedModel(nn.Linear(3, 2), nullcontext)(torch.randn(4, 3))
    assert "\n" not in str(error.value)
