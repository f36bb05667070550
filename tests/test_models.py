"""The networks: names, shapes, stages, initialisation, refusals."""

import math

import pytest
import torch
from reference import randomise, relative_error
from torch import nn
from torch.nn import functional as F

from lambdalab.blocks import ResidualBlock
from lambdalab.choices import ORDERS
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import create_model, list_models, model_config

SMALL = list_models("*_tiny") + list_models("*_small") + ["resnet18", "lambda_resnet18"]


def make_on_meta(name: str, **options) -> nn.Module:
    """A network whose tensors have shapes and no numbers: nothing is drawn, nothing is computed."""
    with torch.device("meta"):
        return create_model(name, **options)


def test_the_names_are_the_papers_and_honest():
    depths = [18, 26, 50, 101, 152, 200, 270, 350, 420]
    expected = [f"lambda_resnet{depth}" for depth in depths] + [f"resnet{depth}" for depth in depths[:5]]
    expected += [f"{name}_original" for name in expected if name not in ("lambda_resnet26", "resnet26")]
    expected = [name for name in expected if name not in ("resnet101_original", "resnet152_original")]
    assert set(list_models()) - set(SMALL) == set(expected) - {"resnet18", "lambda_resnet18"}
    assert list_models("lambda_*_tiny") == ["lambda_resnet11_tiny"] and list_models("vgg*") == []
    # A depth counts the weighted layers; the community's "18" is a 26, and only its *_original is called 18.
    for name, block in [("resnet18", "basic"), ("resnet26", "bottleneck"), ("resnet18_original", "original")]:
        config = model_config(name)
        assert (config.block, config.depths) == (block, (2, 2, 2, 2))


@pytest.mark.parametrize("name", list_models())
def test_every_network_gives_logits(name):
    model = make_on_meta(name, num_classes=7, channels=1)
    with torch.no_grad():
        assert model(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_run_on_the_cpu_and_every_weight_gets_a_gradient(name):
    torch.manual_seed(0)
    model, x = create_model(name, num_classes=10, stem="cifar", zero_gamma=False), torch.randn(4, 3, 16, 16)
    F.cross_entropy(model(x), torch.arange(4)).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    assert model.eval()(x).isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "lambda_resnet18", "lambda_resnet50"])
@pytest.mark.parametrize(
    ("stem", "size", "sizes"),
    [
        ("imagenet", 224, [56, 28, 14, 7]),
        ("imagenet", 32, [8, 4, 2, 1]),
        ("cifar", 224, [224, 112, 56, 28]),
        ("cifar", 32, [32, 16, 8, 4]),
    ],
)
def test_each_stage_halves_the_map_and_doubles_the_width(name, stem, size, sizes):
    model, widths = make_on_meta(name, stem=stem), [64, 128, 256, 512]
    x = model.stem(torch.empty(2, 3, size, size, device="meta"))
    assert x.shape == (2, 64, sizes[0], sizes[0])
    for stage, width, map_size in zip(model.stages, widths, sizes, strict=True):
        x = stage(x)
        assert x.shape == (2, width * (1 if name.endswith("18") else 4), map_size, map_size)


@pytest.mark.parametrize("name", ["lambda_resnet18", "lambda_resnet26"])
def test_lambda_layers_shrink_the_map_with_a_3x3_average_pool(name):
    model = randomise(create_model(name, width=8, scope=3, stages="CLLC").double(), 0)
    for index, stage in enumerate(model.stages[1:3]):
        for number, block in enumerate(stage):
            layers = [module for module in block.residual.modules() if isinstance(module, LambdaLayer)]
            layer = next(iter(layers))
            spatial = next(module for module in block.residual if layer in module.modules())
            x = torch.randn(2, layer.dim, 7 - index, 6, dtype=torch.float64)
            expected = F.avg_pool2d(layer(x), 3, 2, 1) if number == 0 else layer(x)
            assert relative_error(spatial(x), expected) <= 1e-12


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("name", ["lambda_resnet18", "lambda_resnet26", "lambda_resnet11_tiny"])
@pytest.mark.parametrize("image_size", [16, 17, 30, 33])
def test_global_context_on_odd_and_even_pictures(name, stem, image_size):
    model = create_model(name, stem=stem, width=8, scope=None, image_size=image_size, num_classes=5)
    assert model(torch.randn(2, 3, image_size, image_size)).shape == (2, 5)
    with pytest.raises(UserError, match="global context was made for"):
        model(torch.randn(2, 3, image_size + 8, image_size + 8))


def blocks_of(model: nn.Module) -> list[ResidualBlock]:
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "options", "number"),
    [
        ("resnet18", {}, 8),
        ("lambda_resnet18", {}, 8),
        ("lambda_resnet26", {"stages": "CCLL", "se_ratio": 4}, 8),
        ("lambda_resnet11_tiny", {}, 3),
    ],
)
@pytest.mark.parametrize("zero_gamma", [True, False])
def test_with_gamma_zero_each_block_starts_as_its_shortcut(name, options, number, training, zero_gamma):
    model = create_model(name, zero_gamma=zero_gamma, **options).train(training)
    assert len(blocks_of(model)) == number
    for block in blocks_of(model):
        channels = next(m for m in block.modules() if isinstance(m, nn.Conv2d)).in_channels
        x = torch.randn(3, channels, 6, 6)
        with torch.no_grad():
            assert torch.equal(block(x), block.shortcut(x).relu()) == zero_gamma


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "lambda_resnet26"])
def test_lengths_of_he_weights_and_of_pytorchs(name):
    """N(0, 2/fan_out) and U(±1/√fan_in): variances of 2/fan_out and 1/(3·fan_in)."""
    torch.manual_seed(0)
    for init in ("he", "torch"):
        model = create_model(name, stem="cifar", num_classes=10, init=init)
        own = {id(m) for layer in model.modules() if isinstance(layer, LambdaLayer) for m in layer.modules()}
        found = [m.weight.detach() for m in model.modules() if isinstance(m, nn.Conv2d) and id(m) not in own]
        assert len(found) > 10
        for weight in found:
            fan_out, fan_in = weight[:, 0].numel(), weight[0].numel()
            variance = 2 / fan_out if init == "he" else 1 / (3 * fan_in)
            assert weight.var().item() == pytest.approx(variance, rel=0.15)
        assert model.head.weight.std().item() == pytest.approx(
            0.01 if init == "he" else (3 * model.head.in_features) ** -0.5, rel=0.1
        )


@pytest.mark.parametrize("name", ["resnet11_tiny", "lambda_resnet11_tiny"])
def test_twice_the_weights_before_a_batch_norm_turn_a_quarter_as_far(name):
    """The same function, half the gradient: a step turns w by lr·|∂L/∂w|/|w|, in proportion to 1/|w|²."""
    torch.manual_seed(0)
    model, x = create_model(name, zero_gamma=False, init="torch").double(), torch.randn(8, 3, 16, 16).double()
    labels, weight = torch.arange(8), model.stages[0][0].residual.reduce.weight

    def loss_and_gradient() -> tuple[float, torch.Tensor]:
        loss = F.cross_entropy(model(x), labels)
        return loss.item(), torch.autograd.grad(loss, weight)[0]

    loss, gradient = loss_and_gradient()
    with torch.no_grad():
        weight.mul_(2)
    doubled_loss, doubled_gradient = loss_and_gradient()
    assert doubled_loss == pytest.approx(loss, rel=1e-3)  # not equal to the last digit: batch norm's ε
    assert torch.allclose(doubled_gradient, gradient / 2, rtol=0.02, atol=0.01 * gradient.abs().max().item())


@pytest.mark.parametrize("name", [*SMALL, "resnet50", "lambda_resnet50"])
def test_the_loss_starts_at_the_logarithm_of_the_classes(name):
    torch.manual_seed(0)
    for classes in (10, 1000):
        model = create_model(name, num_classes=classes)
        x, labels = torch.randn(16, 3, 32, 32), torch.randint(classes, (16,))
        with torch.no_grad():
            assert F.cross_entropy(model(x), labels).item() == pytest.approx(math.log(classes), rel=0.1)


@pytest.mark.parametrize("order", ORDERS)
def test_every_lambda_layer_of_a_network_sums_in_the_order_asked_for(order):
    torch.manual_seed(0)
    model, x = create_model("lambda_resnet11_tiny", zero_gamma=False).eval(), torch.randn(2, 3, 9, 8)
    ordered = create_model("lambda_resnet11_tiny", zero_gamma=False, contraction=order).eval()
    ordered.load_state_dict(model.state_dict())
    layers = [module for module in ordered.modules() if isinstance(module, LambdaLayer)]
    assert len(layers) == 3 and {layer.contraction for layer in layers} == {order}
    assert relative_error(ordered(x), model(x)) <= 1e-4


def test_lambda_layers_in_a_network_keep_the_papers_initialisation():
    torch.manual_seed(0)
    model = create_model("lambda_resnet18", stages="CLLL", heads=4)
    for layer in (module for module in model.modules() if isinstance(module, LambdaLayer)):
        assert layer.to_v.weight.std().item() == pytest.approx(layer.dim**-0.5, rel=0.1)
        assert layer.to_q.weight.std().item() == pytest.approx((16 * layer.dim) ** -0.5, rel=0.1)
        assert layer.embedding.std().item() == pytest.approx(1, rel=0.1)
    convolution = model.stages[0][0].residual[0]
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.05)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lambda_resnet5", {}, "unknown model 'lambda_resnet5'; did you mean 'lambda_resnet50'"),
        ("vgg", {}, r"unknown model 'vgg'.* \(list_models\(\)"),
        ("resnet18", {"stagse": "CCCC"}, "unknown option 'stagse' .*did you mean 'stages'"),
        ("resnet18", {"zzz": 1}, r"unknown option 'zzz' of a model \(.*num_classes"),
        ("resnet18", {"stages": "CCC"}, "must be 4 letters, each C .* or L .*got 'CCC'"),
        ("resnet18", {"stages": "CCLX"}, "must be 4 letters, each C .* or L .*got 'CCLX'"),
        ("resnet11_tiny", {"stages": "CCLL"}, "must be 3 letters, .*got 'CCLL'"),
        ("resnet18", {"stem": "mnist"}, "stem must be 'imagenet' or 'cifar', got 'mnist'"),
        ("resnet18", {"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ("resnet18", {"channels": 0}, "channels must be at least 1, got 0"),
        ("resnet18", {"width": -1}, "width must be at least 1, got -1"),
        ("resnet18", {"se_ratio": 0}, "se_ratio must be between 1 and the width 64, got 0"),
        ("resnet18", {"se_ratio": 65}, "se_ratio must be between 1 and the width 64, got 65"),
        ("lambda_resnet18", {"scope": 8}, "scope must be odd .*got 8"),
        ("lambda_resnet18", {"heads": 3}, "heads must divide .*64 is not a multiple of 3"),
        ("lambda_resnet18", {"dim_k": 0}, "dim_k must be at least 1, got 0"),
        ("lambda_resnet18", {"dim_u": 0}, "dim_u must be at least 1, got 0"),
        ("lambda_resnet18", {"scope": None}, "scope=None .*give image_size"),
        ("lambda_resnet18", {"scope": None, "image_size": 0}, "size.* must be .*at least 1.*0"),
        ("lambda_resnet18", {"content": False, "position": False}, "content=True or position=True"),
        ("lambda_resnet18_original", {"se_ratio": 4}, "no se_ratio"),
        ("lambda_resnet18_original", {"content": False}, "no .*content"),
        ("lambda_resnet18_original", {"scope": 4}, "scope must be odd .*got 4"),
        ("resnet18", {"init": "xavier"}, "init must be one of he, torch; got 'xavier'"),
        ("lambda_resnet18_original", {"contraction": "convolve"}, "no contraction"),
        ("lambda_resnet18", {"contraction": "convolv"}, "unknown contraction 'convolv'; did you mean 'convolve'"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(name, options, message):
    with pytest.raises(UserError, match=message) as error:
        create_model(name, **options)
    assert "\n" not in str(error.value)
