"""The training loop: it learns, it counts right, and it refuses what does not fit."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lambdalab import TrainConfig, create_model, evaluate, fit, load_data
from lambdalab.data import Split
from lambdalab.errors import UserError
from lambdalab.train_state import TrainState, find_device, update_average

PLAIN = {"warmup_epochs": 0.0, "crop": 0, "label_smoothing": 0.0, "weight_decay": 0.0, "device": "cpu"}


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def few(data, count: int):
    """The same data with so many pictures in every part."""
    parts = {part: Split(*(tensor[:count] for tensor in getattr(data, part))) for part in ("train", "val", "test")}
    return replace(data, **parts)


def tiny(name: str = "lambda_resnet11_tiny", seed: int = 0, **options):
    torch.manual_seed(seed)
    return create_model(name, channels=1, **options)


@pytest.mark.parametrize("name", ["lambda_resnet11_tiny", "resnet11_tiny"])
def test_overfits_32_pictures(digits, name):
    data, model = few(digits, 32), tiny(name)
    result = fit(model, data, TrainConfig(epochs=40, batch_size=32, lr=0.05, **PLAIN), progress=False)
    assert result.history[-1]["train_top1"] == 1.0
    assert result.history[-1]["train_loss"] < 0.05


def test_loss_before_training_is_ln_classes(digits):
    for name in ("lambda_resnet11_tiny", "resnet11_tiny", "lambda_resnet20_small"):
        assert evaluate(tiny(name), digits, digits.val)["loss"] == pytest.approx(math.log(10), rel=0.1)


def test_evaluate_agrees_with_one_big_batch(digits):
    model = tiny().eval()
    with torch.no_grad():
        logits = model(digits.normalise(digits.test.images))
    found = evaluate(model, digits, digits.test, batch_size=77)
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, digits.test.labels).item(), rel=1e-5)
    assert found["top1"] == (logits.argmax(1) == digits.test.labels).sum().item() / len(digits.test.labels)


def test_rows_count_what_happened(digits):
    """The loop's numbers, against a loop of ten lines written out for one epoch."""
    data, config = few(digits, 100), TrainConfig(epochs=1, batch_size=32, lr=0.01, **PLAIN)
    result = fit(tiny(), data, config, progress=False)
    model, loss_sum, correct = tiny(), 0.0, 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    model.train()
    for step, (images, labels) in enumerate(data.batches(data.train, 32, seed=0, epoch=0)):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * step / 4)) / 2
        logits = model(data.normalise(images))
        loss = F.cross_entropy(logits, labels)
        loss_sum, correct = loss_sum + loss.item() * len(labels), correct + (logits.argmax(1) == labels).sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    row = result.history[0]
    assert row["train_loss"] == pytest.approx(loss_sum / 100, rel=1e-5)
    assert row["train_top1"] == correct / 100
    assert row["val_loss"] == pytest.approx(evaluate(model, data, data.val)["loss"], rel=1e-5)
    assert result.summary["test_loss"] == pytest.approx(evaluate(model, data, data.test)["loss"], rel=1e-5)


def test_the_test_part_chooses_nothing(digits):
    data = few(digits, 60)
    other = replace(data, test=Split(data.test.images.flip(3), data.test.labels.flip(0)))
    config = TrainConfig(epochs=2, batch_size=30, device="cpu")
    one, two = tiny(), tiny()
    history = [fit(model, part, config, progress=False).history for model, part in ((one, data), (two, other))]
    assert [row["val_loss"] for row in history[0]] == [row["val_loss"] for row in history[1]]
    assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))


def test_seed_decides(digits):
    data, config = few(digits, 60), TrainConfig(epochs=1, batch_size=30, device="cpu")
    losses = [fit(tiny(), data, replace(config, seed=s), progress=False).history[0]["train_loss"] for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_average_is_what_is_evaluated_and_left(digits):
    data, model = few(digits, 64), tiny()
    result = fit(model, data, TrainConfig(epochs=2, batch_size=32, ema_decay=0.9, device="cpu"), progress=False)
    assert result.summary["test_loss"] == pytest.approx(evaluate(model, data, data.test)["loss"], rel=1e-6)
    plain = tiny()
    fit(plain, data, TrainConfig(epochs=2, batch_size=32, device="cpu"), progress=False)
    assert not torch.equal(plain.head.weight, model.head.weight)


def test_update_average_is_the_recursion():
    average, model = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        average.weight.fill_(2.0)
        average.running_mean.fill_(4.0)
    model.num_batches_tracked += 5
    update_average(average, model, 0.75)
    assert average.weight.tolist() == pytest.approx([1.75] * 3)
    assert average.running_mean.tolist() == pytest.approx([3.0] * 3)
    assert average.num_batches_tracked == 5


def test_clipping_bounds_the_step(digits):
    data = few(digits, 32)
    config = TrainConfig(epochs=1, batch_size=32, lr=1.0, momentum=0.0, clip_norm=0.01, **PLAIN)
    model = tiny()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    fit(model, data, config, progress=False)
    moved = torch.stack([(a - b).norm() for a, b in zip(model.parameters(), before, strict=True)]).norm()
    assert 0.009 < moved.item() <= 0.0101


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns_in_every_precision(digits, optimizer, precision):
    lr = 0.05 if optimizer == "sgd" else 0.003
    config = TrainConfig(epochs=12, batch_size=32, optimizer=optimizer, lr=lr, precision=precision, **PLAIN)
    result = fit(tiny(), few(digits, 64), config, progress=False)
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]


@pytest.mark.parametrize("option", ["channels_last", "cuda_graphs"])
def test_what_is_for_speed_gives_the_same_function(digits, option):
    data, config = few(digits, 64), TrainConfig(epochs=1, batch_size=32, device="cpu")
    one = fit(tiny(), data, config, progress=False)
    two = fit(tiny(), data, replace(config, **{option: True}), progress=False)
    assert two.history[0]["train_loss"] == pytest.approx(one.history[0]["train_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: create_model("lambda_resnet11_tiny"), "fails on pictures of shape (1, 8, 8)"),
        (lambda: tiny(num_classes=3), "num_classes=10"),
        (lambda: nn.Sequential(nn.Conv2d(1, 20, 1)), "num_classes=10"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(digits, model, named, tmp_path):
    with pytest.raises(UserError) as caught:
        fit(model(), digits, TrainConfig(device="cpu"), out=tmp_path / "run")
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there():
    with pytest.raises(UserError, match="no 'cuda' device here"):
        find_device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gpu_learns_and_resumes(digits, precision, tmp_path):
    data = few(digits, 512)
    config = TrainConfig(epochs=12, batch_size=64, lr=0.05, precision=precision, **{**PLAIN, "device": "cuda"})
    assert not fit(tiny(), data, config, out=tmp_path, stop_after=0, progress=False).finished
    result = fit(tiny(), data, config, out=tmp_path, progress=False)
    assert result.finished and result.history[-1]["train_top1"] > 0.8


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_steps_are_the_plain_ones(digits, precision):
    """Batches of 24, 23 and 23 pictures: two shapes, each recorded once, and replayed in the second epoch."""
    data, found = few(digits, 70), []
    plain = TrainConfig(epochs=2, batch_size=32, lr=0.05, precision=precision, **{**PLAIN, "device": "cuda"})
    for config in (plain, replace(plain, cuda_graphs=True)):
        model = tiny()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            history = fit(model, data, config, progress=False).history
        found.append(([row["train_loss"] for row in history], model.state_dict()))
    (losses, one), (recorded_losses, two) = found
    tolerance = {"fp32": 1e-4, "bf16": 3e-2}[precision]
    assert recorded_losses == pytest.approx(losses, rel=tolerance)
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name].double(), two[name].double(), rtol=tolerance, atol=tolerance), name


def test_state_of_a_custom_model(digits, tmp_path):
    """Any module that gives logits can be trained; its run says what it was."""
    data = few(digits, 64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    result = fit(model, data, TrainConfig(epochs=1, device="cpu"), out=tmp_path, progress=False)
    assert "Sequential" in result.summary["headline"]
    assert isinstance(TrainState(model, TrainConfig(), torch.device("cpu"), 1).checkpoint(), dict)
