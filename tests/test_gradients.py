"""The measurements at step 0, against gradients and energies worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lambdalab.gradients import energy_shares, gradient_norm
from lambdalab.models import create_model
from lambdalab.original import OriginalLambdaLayer

torch.set_num_threads(1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(1, 7), st.integers(0, 999))
def test_norm_of_a_linear_model_equals_the_closed_form(pixels, classes, batch, seed):
    """∂L/∂W = (p − onehot)ᵀ x / b and ∂L/∂bias = its mean, p the softmax written out."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)).double()
    x, labels = torch.randn(batch, 1, 1, pixels).double(), torch.randint(classes, (batch,))
    logits = x.flatten(1) @ model[1].weight.T + model[1].bias
    error = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    for row, label in enumerate(labels):
        error[row, label] -= 1
    parts = [error.T @ x.flatten(1) / batch, error.sum(dim=0) / batch]
    by_hand = math.sqrt(sum((part.detach() ** 2).sum().item() for part in parts))
    assert gradient_norm(model, x, labels) == pytest.approx(by_hand, rel=1e-9)


def test_frozen_and_unused_weights_do_not_count():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 3))
    x, labels = torch.randn(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    whole = gradient_norm(model, x, labels)
    model.unused = nn.Parameter(torch.ones(1000))
    assert gradient_norm(model, x, labels) == whole
    model[1].requires_grad_(False)
    assert 0 < gradient_norm(model, x, labels) < whole


def test_the_model_stays_as_it_is():
    torch.manual_seed(0)
    model = create_model("lambda_resnet11_tiny", channels=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, labels = torch.randn(6, 1, 8, 8), torch.arange(6)
    first = gradient_norm(model, x, labels)
    energy_shares(model, x, ["stem"])
    assert gradient_norm(model, x, labels) == first > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training and all(weight.grad is None for weight in model.parameters())
    assert not model.stem._forward_hooks


def test_norm_is_that_of_training_mode():
    """Batch norm with the batch's own statistics: a constant added to all pictures changes nothing."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(1, momentum=None)
    model = nn.Sequential(norm, nn.Flatten(), nn.Linear(4, 3)).double().eval()
    x, labels = torch.randn(5, 1, 2, 2).double(), torch.tensor([0, 1, 2, 0, 1])
    assert gradient_norm(model, x + 7, labels) == pytest.approx(gradient_norm(model, x, labels), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=9))
def test_shares_are_energies_not_amplitudes(scales):
    model = nn.Sequential(nn.Identity(), nn.Flatten())
    x = torch.tensor(scales)[:, None, None, None] * torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]]]])
    by_hand = [scale**2 / sum(each**2 for each in scales) for scale in scales]
    shares = energy_shares(model, x, ["0", "1"])
    assert shares.shape == (2, len(scales))
    for row in shares.tolist():
        assert row == pytest.approx(by_hand, rel=1e-5)


def test_shares_come_in_the_order_asked_for():
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    x = torch.tensor([3.0, -4.0])[:, None, None, None]
    after, before = energy_shares(model, x, ["1", "0"]).tolist()
    assert after == pytest.approx([1, 0]) and before == pytest.approx([9 / 25, 16 / 25])


def test_gamma_zero_keeps_the_original_network_calm():
    """The published fact: 1e5 to 1e7 without it, about 8 with it; and one picture of a batch drowns out the others."""
    x, labels = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    norms, shares = [], []
    for zero_gamma in (False, True):
        torch.manual_seed(0)
        model = create_model("lambda_resnet50_original", num_classes=10, zero_gamma=zero_gamma)
        layers = [name for name, module in model.named_modules() if isinstance(module, OriginalLambdaLayer)]
        assert len(layers) == 16
        norms.append(gradient_norm(model, x, labels))
        shares.append(energy_shares(model, x, layers).amax(dim=1).tolist())
    assert norms[0] > 1e4 and norms[1] < 100
    assert max(shares[0]) > 0.9 and shares[0][0] == pytest.approx(shares[1][0]) and max(shares[1]) < 0.5
