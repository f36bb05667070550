"""Weight norms against what is worked out by hand; the log's figures draw what the log says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lambdalab.gradients import gradient_norm
from lambdalab.norms import convolution_norms, norms_over_steps

torch.set_num_threads(1)


def linear_step(weight, x, labels):
    """Loss and gradient of the linear model x → W x, the softmax written out."""
    logits = x @ weight.T
    probabilities = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    loss = -probabilities[range(len(labels)), labels].log().mean().item()
    error = probabilities.clone()
    error[range(len(labels)), labels] -= 1
    return loss, error.T @ x / len(labels)


def test_norms_are_of_convolutions_in_order():
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(1, 2))
    nn.init.constant_(model[0].weight, 3.0)
    nn.init.constant_(model[2].weight, -5.0)
    assert list(convolution_norms(model).items()) == [("0", 6.0), ("2", 5.0)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(0.01, 2), st.floats(0, 0.5), st.sampled_from([0.0, 0.05, 1e6]))
def test_steps_are_sgd_with_momentum_decay_and_clipping(seed, lr, decay, clip):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(4, 3, 1, bias=False), nn.Flatten()).double()
    batches = [(torch.randn(5, 4, 1, 1).double(), torch.randint(3, (5,))) for _ in range(3)]
    weight = model[0].weight.detach().flatten(1).clone()
    start, speed = weight.norm().item(), 0
    measured = norms_over_steps(model, batches, lr=lr, weight_decay=decay, clip_norm=clip)
    assert len(measured) == 3
    for (x, labels), step in zip(batches, measured, strict=True):
        loss, gradient = linear_step(weight, x.flatten(1), labels)
        assert (step.loss, step.gradient) == pytest.approx((loss, gradient.norm().item()), rel=1e-6)
        if clip and gradient.norm() > clip:
            gradient = gradient * clip / gradient.norm()
        speed = 0.9 * speed + gradient + decay * weight
        weight = weight - lr * speed
        growth = weight.norm().item() / start
        assert (step.first, step.median) == pytest.approx((growth, growth), rel=1e-4)


def test_first_and_median_differ_and_the_model_stays():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 2, 1, bias=False) for _ in range(3)]
    model = nn.Sequential(*layers, nn.Flatten())
    layers[2].weight.requires_grad_(False)
    before = [layer.weight.detach().clone() for layer in layers]
    x, labels = torch.randn(6, 2, 1, 1), torch.tensor([0, 1, 0, 1, 0, 1])
    (step,) = norms_over_steps(model, [(x, labels)], lr=1.0, weight_decay=0.0)
    gradients = torch.autograd.grad(nn.functional.cross_entropy(model(x), labels), [each.weight for each in layers[:2]])
    growth = [((w - g).norm() / w.norm()).item() for w, g in zip(before[:2], gradients, strict=True)] + [1.0]
    assert step.first == pytest.approx(growth[0], rel=1e-5)
    assert step.median == pytest.approx(sorted(growth)[1], rel=1e-5)
    assert step.gradient == pytest.approx(gradient_norm(model, x, labels), rel=1e-5)
    assert all(torch.equal(layer.weight, old) for layer, old in zip(layers, before, strict=True))


@pytest.fixture
def log():
    from lambdalab.published import read_log

    return read_log()


def drawn(ax, label: str) -> list[tuple[float, float]]:
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return list(zip(*line.get_data(), strict=True))


def test_the_log_is_drawn_with_its_gap(log):
    from lambdalab.figures import plot_log

    axes = plot_log(log).get_figure().axes
    tested = drawn(axes[3], "published, test") + drawn(axes[5], "published, test")
    assert tested == [(epoch.epoch, epoch.top1) for epoch in log.epochs]
    losses = drawn(axes[0], "published, training") + drawn(axes[2], "published, training")
    assert [loss for _, loss in losses] == [step.loss for step in log.steps]
    assert [label.get_text() for label in axes[1].texts] == ["epochs 15 to 305:\nnot published"]
    assert not [line for line in axes[1].get_lines() if "published" in line.get_label()]


def test_a_run_is_laid_over_all_panels(log):
    import pandas

    from lambdalab.figures import plot_log

    columns = {"train_loss": 2.0, "val_loss": 3.0, "train_top1": 0.5, "val_top1": 0.25}
    axes = plot_log(log, pandas.DataFrame({"epoch": [1, 200, 308], **columns})).get_figure().axes
    assert all(drawn(ax, "this run, validation")[1] == (200, 3.0) for ax in axes[:3])
    assert all(drawn(ax, "this run, training")[2] == (308, 50.0) for ax in axes[3:])


def test_the_restarts_are_those_of_the_recipe(log):
    from lambdalab.figures import plot_restarts
    from lambdalab.recipe import TrainConfig

    recipe = TrainConfig(epochs=310, min_lr=1e-5, schedule="warm_restarts", warmup_epochs=0.0)
    ax = plot_restarts(log, recipe, {65: "stopped"})
    curve = dict(drawn(ax, "cosine with warm restarts"))
    assert all(curve[epoch] == rate for epoch, rate in drawn(ax, "in the log"))
    assert [text.get_text() for text in ax.texts] == ["10", "30", "70", "150", "310", "stopped"]


def test_causes_are_bars_of_the_middle_and_dots_of_all():
    from lambdalab.figures import plot_causes

    ax = plot_causes({"accused": [1e4, 1e6], "cured": [8.0]}, {"cured"})
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([1e5, 8.0], rel=1e-4)
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, True]
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [2, 1] and math.isclose(ax.get_xlim()[0], 1)


def test_loudest_and_norms_show_their_numbers():
    from lambdalab.figures import plot_loudest, plot_norms
    from lambdalab.norms import StepNorms

    ax = plot_loudest({"one": torch.tensor([[0.25, 0.75]]), "two": torch.tensor([[0.5, 0.5]])})
    assert ax.images[0].get_array().tolist() == [[25, 75]] and ax.images[0].get_clim() == (0, 100)
    ax = plot_norms({"net": [StepNorms(1.0, 2.0, 30.0, 4.0)]})
    assert drawn(ax, "net: first convolution") == [(0, 1), (1, 30)]
    assert drawn(ax, "net: median convolution") == [(0, 1), (1, 4)]
