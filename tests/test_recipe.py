"""The recipe: its checks, and its learning rate against PyTorch's own schedulers."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lambdalab.errors import UserError
from lambdalab.recipe import TrainConfig, learning_rate


def scheduled(scheduler_of, lr: float, epochs: int) -> list[float]:
    """The learning rates that a PyTorch scheduler, stepped once an epoch, gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = scheduler_of(optimizer), []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_warm_restarts_are_pytorchs_bit_for_bit():
    config = TrainConfig(epochs=310, lr=0.1, min_lr=1e-5, schedule="warm_restarts", warmup_epochs=0.0)
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10, 2, 1e-5), 0.1, 310
    )
    assert [learning_rate(config, epoch) for epoch in range(310)] == expected


def test_warm_restarts_are_constant_within_an_epoch():
    config = TrainConfig(epochs=20, schedule="warm_restarts", warmup_epochs=0.0)
    assert learning_rate(config, 3.0) == learning_rate(config, 3.99) != learning_rate(config, 4.0)


@given(epochs=st.integers(1, 200), lr=st.floats(1e-4, 10), low=st.floats(0, 1e-4))
def test_cosine_is_pytorchs(epochs, lr, low):
    config = TrainConfig(epochs=epochs, lr=lr, min_lr=low, warmup_epochs=0.0)
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, low), lr, epochs
    )
    assert [learning_rate(config, epoch) for epoch in range(epochs)] == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(warmup=st.floats(0.1, 4.9), share=st.floats(0, 1))
def test_warm_up_is_a_line_to_the_peak_and_nothing_exceeds_it(warmup, share):
    config = TrainConfig(epochs=5, lr=0.3, warmup_epochs=warmup)
    assert learning_rate(config, share * warmup * 0.999) == pytest.approx(0.3 * share * 0.999, abs=1e-9)
    assert learning_rate(config, warmup) == pytest.approx(0.3)
    assert 0 <= learning_rate(config, share * 4.999) <= 0.3 * (1 + 1e-9)


def test_constant():
    config = TrainConfig(epochs=3, schedule="constant", warmup_epochs=0.0)
    assert {learning_rate(config, epoch) for epoch in (0, 1.5, 2.9)} == {config.lr}


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("epochs", 0, "at least 1"),
        ("epochs", 2.5, "of type int"),
        ("epochs", True, "of type int"),
        ("batch_size", -1, "at least 1"),
        ("lr", float("nan"), "finite"),
        ("lr", "0.1", "of type float"),
        ("momentum", 1.5, "at most"),
        ("optimizer", "adam", "sgd, adamw"),
        ("schedule", "linear", "cosine, warm_restarts, constant"),
        ("precision", "int8", "fp32, bf16, fp16"),
        ("device", "tpu", "auto, cpu, cuda, mps"),
        ("label_smoothing", -0.1, "at least 0"),
        ("ema_decay", 1.0, "at most"),
        ("warmup_epochs", 99.0, "below epochs"),
    ],
)
def test_refused_in_one_line(option, value, named):
    with pytest.raises(UserError) as caught:
        TrainConfig(**{option: value})
    message = str(caught.value)
    assert option in message and named in message and "\n" not in message


def test_every_option_is_explained_and_checked():
    for option in fields(TrainConfig):
        assert option.metadata["help"]
        with pytest.raises(UserError, match=option.name):
            replace(TrainConfig(), **{option.name: object()})
