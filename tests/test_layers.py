"""LambdaLayer against the paper's sum as an explicit loop; initialisation, refusals, other devices."""

import pytest
import torch
from reference import lambda_layer, picture, randomise, relative_error

from lambdalab.choices import ORDERS
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer


def make_layer(*shape: int, seed: int = 0, **options) -> LambdaLayer:
    return randomise(LambdaLayer(*shape, **options).double(), seed)


def outputs_and_gradients(function, layer, x) -> list[torch.Tensor]:
    """function(x), and the gradients of a fixed random functional of it with regard to x and every weight."""
    x = x.clone().requires_grad_()
    y = function(x)
    return [y, *torch.autograd.grad((y * picture(*y.shape, seed=7)).sum(), [x, *layer.parameters()])]


def check_against_loop(layer, x) -> None:
    actual = outputs_and_gradients(layer, layer, x)
    expected = outputs_and_gradients(lambda x: lambda_layer(x, layer), layer, x)
    scale = max(tensor.abs().max() for tensor in expected)
    for ours, theirs in zip(actual, expected, strict=True):
        # A gradient that is zero in theory (of the keys of a single pixel) is rounding in both.
        nothing = max(ours.abs().max(), theirs.abs().max()) <= 1e-12 * scale
        assert nothing or relative_error(ours, theirs) <= 1e-10


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("size", "scope", "dim_u", "heads"),
    [
        ((4, 5), 3, 1, 4),  # a scope smaller than the map
        ((5, 4), 3, 2, 1),
        ((4, 3), 3, 4, 4),
        ((2, 6), 5, 2, 4),  # larger than the map along one axis
        ((3, 4), 7, 4, 1),  # larger than every offset of the map
        ((3, 4), 23, 1, 4),
        ((3, 2), 1, 2, 2),  # the query's own pixel only
        ((1, 1), 3, 1, 1),
    ],
)
def test_local_scope_equals_the_loop(size, scope, dim_u, heads, order, training):
    layer = make_layer(3, 8, dim_k=3, heads=heads, dim_u=dim_u, scope=scope, contraction=order).train(training)
    check_against_loop(layer, picture(2, 3, *size))


@pytest.mark.parametrize("parts", [{}, {"content": False}, {"position": False}])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_changes_where_no_gradient_is_wanted(training, parts):
    """With gradients the three projections are one product, without them three."""
    layer, x = make_layer(3, 8, dim_k=3, heads=2, scope=3, **parts).train(training), picture(2, 3, 4, 5)
    y = layer(x)
    with torch.no_grad():
        assert relative_error(layer(x), y) <= 1e-14
    assert y.requires_grad


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("size", "dim_u", "heads"), [((3, 4), 1, 4), ((4, 3), 2, 1), ((2, 3), 4, 4), ((1, 4), 1, 2)])
def test_global_context_equals_the_loop(size, dim_u, heads, training):
    layer = make_layer(3, 8, dim_k=3, heads=heads, dim_u=dim_u, scope=None, size=size).train(training)
    assert layer.embedding.shape == (3, dim_u, 2 * size[0] - 1, 2 * size[1] - 1)
    check_against_loop(layer, picture(2, 3, *size))


@pytest.mark.parametrize("parts", [{"content": False}, {"position": False}])
def test_one_lambda_alone_equals_the_loop(parts):
    layer = make_layer(4, dim_k=3, heads=2, dim_u=2, scope=3, **parts)
    assert layer.dim_out == 4
    check_against_loop(layer, picture(2, 4, 3, 4))


@pytest.mark.parametrize("where", [{"scope": 3}, {"scope": None, "size": (2, 3)}])
@pytest.mark.parametrize("order", ORDERS)
def test_gradients_equal_finite_differences(where, order):
    layer = make_layer(2, 4, dim_k=2, heads=2, dim_u=2, contraction=order, **where)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (picture(2, 2, 2, 3).requires_grad_(), *weights))


def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    layer = LambdaLayer(256, dim_k=16, dim_u=4, scope=23)
    stds = {"to_q.weight": 16 * 256, "to_k.weight": 256, "to_v.weight": 256, "embedding": 1}
    for name, inverse_variance in stds.items():
        weight = layer.get_parameter(name)
        assert weight.std().item() == pytest.approx(inverse_variance**-0.5, rel=0.03)
        assert abs(weight.mean().item()) < 5 * (inverse_variance * weight.numel()) ** -0.5
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in (layer.norm_q, layer.norm_v))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"dim_out": -4}, "dim_out must be at least 1, got -4"),
        ({"dim_k": 0}, "dim_k must be at least 1, got 0"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"dim_u": 0}, "dim_u must be at least 1, got 0"),
        ({"heads": 3}, "heads must divide dim_out .*8 is not a multiple of 3"),
        ({"scope": 4}, "scope must be odd .*got 4"),
        ({"scope": -1}, "scope must be odd and at least 1.*got -1"),
        ({"scope": None}, "scope=None with size.*got scope=None, size=None"),
        ({"size": (4, 4)}, r"either scope.* or .*size.*got scope=23, size=\(4, 4\)"),
        ({"scope": None, "size": (0, 4)}, r"size.*at least 1.*0"),
        ({"content": False, "position": False}, "content=True or position=True"),
        ({"contraction": "densest"}, "unknown contraction 'densest'; did you mean 'dense'.*auto, lambda, convolve"),
        ({"tile_bytes": 0}, "tile_bytes must be at least 1, got 0"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(options, message):
    with pytest.raises(UserError, match=message) as error:
        LambdaLayer(**{"dim": 8, **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(8, 4, 4), (2, 7, 4, 4), (2, 8, 16)])
def test_another_input_is_refused(shape):
    with pytest.raises(UserError, match=r"^expected pictures of shape \(b, 8, H, W\), got .*\d\)$"):
        LambdaLayer(8)(torch.zeros(shape))


def test_another_size_than_the_global_contexts_is_refused():
    with pytest.raises(UserError, match=r"made for pictures of 3×4, got 4×3; make it with size=\(4, 3\).*"):
        LambdaLayer(8, scope=None, size=(3, 4))(torch.zeros(2, 8, 4, 3))


@pytest.mark.parametrize("order", ORDERS)
def test_bfloat16_autocast_is_close_on_the_cpu(order):
    check_bfloat16(order, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("order", ORDERS)
def test_the_gpu_equals_the_cpu(order):
    layer, x = make_layer(16, dim_k=8, dim_u=2, scope=7, contraction=order), picture(4, 16, 12, 13)
    expected = outputs_and_gradients(layer, layer, x)
    layer = layer.float().cuda()
    weigh = [tensor.float().cuda() for tensor in (x, picture(*expected[0].shape, seed=7))]
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        x = weigh[0].requires_grad_()
        y = layer(x)
        actual = [y, *torch.autograd.grad((y * weigh[1]).sum(), [x, *layer.parameters()])]
    for ours, theirs in zip(actual, expected, strict=True):
        assert relative_error(ours.double().cpu(), theirs) <= 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("order", ORDERS)
def test_bfloat16_autocast_is_close_on_the_gpu(order):
    check_bfloat16(order, "cuda")


def check_bfloat16(order: str, device: str) -> None:
    layer = make_layer(16, dim_k=8, scope=7, contraction=order).float().to(device)
    x = picture(4, 16, 12, 13).float().to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    difference = (y.float() - layer(x)).square().mean().sqrt() / layer(x).square().mean().sqrt()
    assert 0 < difference < 0.03  # bfloat16 keeps 8 bits
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())


@pytest.mark.parametrize("order", ORDERS)
def test_no_pictures_give_none(order):
    layer, x = LambdaLayer(8, dim_k=4, scope=3, contraction=order).eval(), torch.empty(0, 8, 4, 5, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == (0, 8, 4, 5) and not layer.embedding.grad.any()
