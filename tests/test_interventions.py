"""Changing something: lambdas under shifts and shuffles, one lambda taken out, parts of a picture covered."""

import math
from itertools import product

import pytest
import torch
from reference import picture, randomise, relative_error
from timm.layers.lambda_layer import LambdaLayer as TimmLayer
from torch import nn

from lambdalab.capture import capture_lambdas
from lambdalab.errors import UserError
from lambdalab.interventions import (
    disturbances,
    gradient_times_input,
    input_of,
    lambda_change,
    occlusion,
    rank_correlation,
    switched_off,
)
from lambdalab.layers import LambdaLayer
from lambdalab.models import create_model
from lambdalab.original import OriginalLambdaLayer


def make_layer(**options) -> LambdaLayer:
    return randomise(LambdaLayer(3, 4, **{"dim_k": 2, "heads": 2, "scope": 3} | options).double(), 0).eval()


def record(layer, x):
    with capture_lambdas(layer) as made:
        layer(x)
    return made["layer"]


def test_content_lambdas_ignore_where_pixels_are_and_position_lambdas_do_not():
    layer = make_layer(dim_u=2).train()
    layer.norm_v.bias.data.zero_()  # values of mean 0: else all λp are alike but where a border cuts the scope
    changes = disturbances(layer, picture(2, 3, 12, 10), seed=3)
    assert max(change.content for change in changes.values()) < 1e-12
    assert min(change.position for change in changes.values()) > 0.1
    moved = changes["shifted, at the pixel moved along"].position
    assert moved < changes["shifted, at the same pixel"].position


@pytest.mark.parametrize("moved", [(1, 2), (-2, 0), (0, -1)])
def test_position_lambdas_move_with_a_shift_where_the_border_is_out_of_sight(moved):
    layer = make_layer()
    layer.norm_v.bias.data.zero_()
    layer.norm_v.running_mean.zero_()  # so that values of empty pixels are 0
    x = torch.zeros(2, 3, 9, 9, dtype=torch.float64)
    x[:, :, 3:6, 3:6] = picture(2, 3, 3, 3)
    before, after = record(layer, x), record(layer, x.roll(moved, dims=(2, 3)))
    assert lambda_change(before, after, moved).position < 1e-12
    assert lambda_change(before, after).position > 0.5


def test_change_is_the_norm_of_the_difference_over_the_norm():
    layer = make_layer()
    before, after = (record(layer, picture(1, 3, 3, 4, seed=seed)) for seed in (1, 2))
    pixels = [(row, column) for row in (0, 1) for column in (1, 2, 3)]
    old = before.position_lambdas([(row + 1, column - 1) for row, column in pixels])
    new = after.position_lambdas(pixels)
    change = lambda_change(before, after, (-1, 1))
    assert change.position == pytest.approx(((new - old).norm() / old.norm()).item())
    assert change.content == pytest.approx(((after.content - before.content).norm() / before.content.norm()).item())
    alone = lambda_change(*(record(make_layer(content=False), picture(1, 3, 3, 4, seed=seed)) for seed in (1, 2)))
    assert alone.content == 0 and alone.position > 0
    alone = lambda_change(*(record(make_layer(position=False), picture(1, 3, 3, 4, seed=seed)) for seed in (1, 2)))
    assert alone.content > 0 and alone.position == 0


@pytest.mark.parametrize("part", ["content", "position"])
@pytest.mark.parametrize("training", [True, False])
def test_switching_a_lambda_off_equals_a_layer_made_without_it(part, training):
    layer, x = make_layer(dim_u=2).train(training), picture(2, 3, 5, 4)
    bare = make_layer(dim_u=2, **{part: False}).train(training)
    bare.load_state_dict({name: tensor for name, tensor in layer.state_dict().items() if name in bare.state_dict()})
    whole = layer(x)
    with switched_off(layer, part):
        assert torch.allclose(layer(x), bare(x), rtol=1e-10, atol=1e-11)
    assert torch.allclose(layer(x), whole)


def test_switching_off_spares_the_other_layers_and_works_on_timms():
    torch.manual_seed(0)
    model = create_model("lambda_resnet11_tiny", channels=1, width=8, zero_gamma=False).eval()
    x = picture(2, 1, 8, 8).float()
    with capture_lambdas(model) as before:
        model(x)
    second = before.layers[1]
    with switched_off(model, "position", [second]), capture_lambdas(model) as after:
        model(x)
    first, second, third = ((before[name].output, after[name].output) for name in before.layers)
    assert torch.equal(*first) and not torch.allclose(*second) and not torch.allclose(*third)

    layer = randomise(TimmLayer(4, stride=2, num_heads=2, dim_head=3, r=3).double(), 1).eval()
    x = picture(1, 4, 6, 6)
    whole = layer(x)
    with switched_off(layer, "content"):
        without_content = layer(x)
    with switched_off(layer, "position"):
        without_position = layer(x)
    assert torch.allclose(without_content + without_position, whole, rtol=1e-10)  # pooling is linear
    layer.conv_lambda.weight.data.zero_()
    layer.conv_lambda.bias.data.zero_()
    assert torch.allclose(layer(x), without_position, rtol=1e-10)


def test_input_of_a_layer_is_what_it_was_given():
    torch.manual_seed(0)
    model = create_model("lambda_resnet11_tiny", channels=1, width=8).eval()
    images = picture(2, 1, 8, 8).float()
    x = input_of(model, "stages.0.0.residual.spatial", images)
    block = model.stages[0][0].residual
    assert torch.allclose(x, block.reduce_norm(block.reduce(model.stem(images))))
    with pytest.raises(UserError, match="no lambda layer 'stem'"):
        input_of(model, "stem", images)


class Polynomial(nn.Module):
    """Logits (b, 2): Σ w·x² and Σ w·x, after a dropout that says whether evaluation mode was kept."""

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        self.weight, self.dropout = nn.Parameter(weight), nn.Dropout(0.5)

    def forward(self, x):
        x = self.dropout(x)
        return torch.stack([(self.weight * x.square()).sum((1, 2, 3)), (self.weight * x).sum((1, 2, 3))], dim=1)


@pytest.fixture
def polynomial() -> Polynomial:
    return Polynomial(picture(2, 4, 5)).train()


def test_gradient_times_input_of_a_polynomial(polynomial):
    x = picture(2, 4, 5, seed=2)
    terms = polynomial.weight.detach() * x
    with torch.no_grad():
        assert torch.allclose(gradient_times_input(polynomial, x, 0), (2 * terms * x).sum(dim=0))
    assert torch.allclose(gradient_times_input(polynomial, x, 1), terms.sum(dim=0))
    assert polynomial.training and polynomial.weight.grad is None and not x.requires_grad


@pytest.mark.parametrize(
    "make", [lambda: OriginalLambdaLayer(2, 4, dim_k=2, scope=3), lambda: TimmLayer(2, num_heads=2, dim_head=3, r=3)]
)
def test_gradient_times_input_equals_finite_differences_through_lambda_layers_of_any_make(make):
    layers = randomise(nn.Sequential(make(), nn.Flatten()).double(), 0).eval()
    x, step = picture(2, 4, 5), 1e-6
    expected = torch.zeros(4, 5, dtype=torch.float64)
    for index in product(range(2), range(4), range(5)):
        nudge = torch.zeros_like(x)
        nudge[index] = step
        logits = layers(torch.stack([x + nudge, x - nudge]))[:, 3]
        expected[index[1:]] += x[index] * (logits[0] - logits[1]).item() / (2 * step)
    assert relative_error(gradient_times_input(layers, x, 3), expected) < 1e-6


@pytest.mark.parametrize("patch", [1, 3, 9])
def test_occlusion_of_a_linear_model_is_the_sum_under_the_patch(polynomial, patch):
    x, reach = picture(2, 4, 5, seed=2), patch // 2
    terms = (polynomial.weight.detach() * x).sum(dim=0)
    falls = occlusion(polynomial, x, 1, patch)
    for row in range(4):
        for column in range(5):
            top, left = max(0, row - reach), max(0, column - reach)
            covered = terms[top : row + reach + 1, left : column + reach + 1].sum()
            assert falls[row, column].item() == pytest.approx(covered.item())
    assert polynomial.training


def test_rank_correlation_sees_order_alone_and_averages_the_finer_map():
    first = picture(4, 5)
    assert rank_correlation(first, first.exp()) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    finer = first.repeat_interleave(3, 0).repeat_interleave(2, 1)
    ripple = 9 * picture(12, 5, seed=3).repeat_interleave(2, 1) * torch.tensor([1.0, -1.0]).repeat(5)
    assert rank_correlation(finer + ripple, first) == pytest.approx(1)
    assert math.isnan(rank_correlation(first, torch.ones(4, 5)))
    ranks = (picture(30, seed=seed).argsort().argsort().double() for seed in (1, 2))
    a, b = (each - each.mean() for each in ranks)
    one, other = (picture(30, seed=seed).reshape(5, 6) for seed in (1, 2))
    assert rank_correlation(one, other) == pytest.approx((a @ b / (a.norm() * b.norm())).item())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m, x: occlusion(m, x, 2), "there is no class 2; give one from 0 to 1"),
        (lambda m, x: gradient_times_input(m, x, -1), "there is no class -1"),
        (lambda m, x: occlusion(m, x, 0, 4), "patch must be odd .* got 4"),
        (lambda m, x: switched_off(make_layer(), "total").__enter__(), "no part 'total'; give content, position"),
        (lambda m, x: switched_off(m, "content").__enter__(), "this Polynomial has no lambda layer"),
        (lambda m, x: lambda_change(*(record(make_layer(), picture(1, 3, 3, s)) for s in (3, 4))), "differ in size"),
        (lambda m, x: lambda_change(*[record(make_layer(), picture(1, 3, 3, 3))] * 2, (3, 0)), "keeps no pixel"),
    ],
)
def test_what_cannot_be_asked_is_refused(polynomial, wrong, message):
    with pytest.raises(UserError, match=message):
        wrong(polynomial, picture(2, 4, 5))
