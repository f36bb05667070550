"""The community code's layer and blocks: each documented defect is there, and nothing else."""

import pytest
import torch
from reference import original_layer, picture, randomise, relative_error
from torch import nn
from torch.nn import functional as F

from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import create_model
from lambdalab.original import OriginalBottleneck, OriginalLambdaLayer


def make_original(*shape: int, seed: int = 0, **options) -> OriginalLambdaLayer:
    return randomise(OriginalLambdaLayer(*shape, **options).double(), seed)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("size", "scope", "dim_u", "heads"),
    [
        ((4, 3), 3, 1, 4),
        ((3, 4), 3, 4, 2),
        ((2, 5), 7, 2, 1),
        ((3, 3), 5, 4, 4),
        ((3, 4), None, 1, 4),
        ((4, 3), None, 4, 2),
    ],
)
def test_outputs_and_gradients_equal_the_loop(size, scope, dim_u, heads, training):
    layer = make_original(3, 8, dim_k=3, heads=heads, dim_u=dim_u, scope=scope).train(training)
    x, results = picture(2, 3, *size).requires_grad_(), []
    for y in (layer(x), original_layer(x, layer)):
        results.append([y, *torch.autograd.grad((y * picture(*y.shape, seed=7)).sum(), [x, *layer.parameters()])])
    scale = max(tensor.abs().max() for tensor in results[1])
    for ours, theirs in zip(*results, strict=True):
        # The bias of the keys' batch norm cannot matter to a softmax: its gradient is rounding in both.
        nothing = max(ours.abs().max(), theirs.abs().max()) <= 1e-12 * scale
        assert nothing or relative_error(ours, theirs) <= 1e-10


def with_identity_norms(dim_u: int, scope: int | None = 3) -> tuple[OriginalLambdaLayer, LambdaLayer]:
    """The original's layer and ours: the same weights, and the norms that only one has made the identity."""
    shape = {"dim_k": 3, "heads": 4, "dim_u": dim_u, "scope": scope}
    original, ours = make_original(3, 8, **shape).eval(), LambdaLayer(3, 8, **shape).double().eval()
    norm_k = original.keys[1]
    for norm in (norm_k, ours.norm_v):
        nn.init.ones_(norm.weight), nn.init.zeros_(norm.bias)
        norm.running_mean.zero_(), norm.running_var.fill_(1 - norm.eps)
    ours.norm_q.load_state_dict(original.queries[1].state_dict())
    for mine, theirs in (
        (ours.to_q, original.queries[0]),
        (ours.to_k, original.keys[0]),
        (ours.to_v, original.values),
    ):
        mine.weight.data.copy_(theirs.weight)
    ours.embedding.data.copy_(original.embedding)
    return original, ours


def test_with_depth_one_it_is_the_papers_sum():
    original, ours = with_identity_norms(dim_u=1)
    x = picture(2, 3, 4, 5)
    assert relative_error(original(x), ours(x)) <= 1e-10


def test_with_depth_four_no_reading_of_the_values_gives_the_papers_sum():
    original, ours = with_identity_norms(dim_u=4)
    x = picture(2, 3, 4, 5)
    ours.to_k.weight.data.copy_(original.keys[0].weight.unflatten(0, (3, 4)).transpose(0, 1).flatten(0, 1))
    for values in (
        original.values.weight,
        original.values.weight.unflatten(0, (2, 4)).transpose(0, 1).flatten(0, 1),
    ):
        ours.to_v.weight.data.copy_(values)
        assert relative_error(original(x), ours(x)) > 0.1


def test_its_global_context_knows_no_position():
    layer, x = make_original(3, 8, dim_k=3, dim_u=2, scope=None), picture(2, 3, 3, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    shuffled = layer(x.flatten(2)[:, :, order].reshape(x.shape))
    assert layer.embedding.shape == (3, 2)
    assert relative_error(shuffled.flatten(2), layer(x).flatten(2)[:, :, order]) <= 1e-10


@pytest.mark.parametrize("options", [{"scope": 4}, {"scope": 0}, {"heads": 3}, {"dim_k": 0}])
def test_a_shape_that_cannot_be_built_is_refused(options):
    (name, value) = next(iter(options.items()))
    with pytest.raises(UserError, match=f"{name} must .*{value}"):
        OriginalLambdaLayer(8, 8, **options)


def input_and_output(module: nn.Module, name: str, x: torch.Tensor, run: nn.Module) -> tuple:
    """What went into a submodule, and what came out, while run(x) ran."""
    seen = []
    handle = module.get_submodule(name).register_forward_hook(lambda _, args, y: seen.append((args[0], y)))
    run(x)
    handle.remove()
    return seen[0]


def test_a_lambda_block_pools_when_it_is_first_even_without_a_stride():
    model, x = create_model("lambda_resnet18_original", num_classes=10).double(), picture(2, 3, 32, 32)
    for index, stage in enumerate(model.stages):
        for number, block in enumerate(stage):
            names = {type(module): name for name, module in block.residual.named_children()}
            names[nn.BatchNorm2d] = str(len(block.residual) - 4)  # the one after the spatial operator
            _, y = input_and_output(block.residual, names[OriginalLambdaLayer], x, model)
            x_norm, _ = input_and_output(block.residual, names[nn.BatchNorm2d], x, model)
            expected = F.avg_pool2d(y, 3, 2 if index else 1, 1) if number == 0 else y
            assert torch.equal(x_norm, expected)


@pytest.mark.parametrize(
    ("name", "sizes"), [("resnet18_original", [8, 8, 8, 8]), ("lambda_resnet18_original", [8, 4, 2, 1])]
)
def test_a_convolutional_network_never_shrinks_its_map(name, sizes):
    with torch.device("meta"):
        model, x = create_model(name), torch.empty(2, 3, 32, 32)
    x = model.stem(x)
    for stage, size in zip(model.stages, sizes, strict=True):
        x = stage(x)
        assert x.shape[2:] == (size, size)


@pytest.mark.parametrize("lambdas", [False, True])
def test_blocks_are_relu_of_residual_plus_shortcut_with_a_bias(lambdas):
    layer = OriginalLambdaLayer(4, 4, dim_k=2, scope=3) if lambdas else None
    block, x = randomise(OriginalBottleneck(8, 4, 2, layer).double(), 3), picture(2, 8, 6, 6)
    assert block.shortcut[0].bias is not None
    assert block(x).shape == ((2, 16, 3, 3) if lambdas else (2, 16, 6, 6))
    assert torch.equal(block(x), (block.residual(x) + block.shortcut(x)).clamp(min=0))


def test_gamma_is_one_and_the_other_weights_are_as_torch_draws_them():
    model = create_model("lambda_resnet18_original")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 1 + 8 * 5 + 4 and all((norm.weight == 1).all() for norm in norms)
    weight = model.stages[1][0].residual[0].weight  # uniform, of variance 1/(3·fan-in)
    assert weight.abs().max() <= 256**-0.5
    assert weight.std().item() == pytest.approx((3 * 256) ** -0.5, rel=0.05)


def test_dropout_comes_before_the_head_of_1000_classes():
    model, x = create_model("lambda_resnet18_original"), torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        _, pooled = input_and_output(model, "pool", x, model)
        features, logits = input_and_output(model, "head", x, model)
        _, kept = input_and_output(model, "pool", x, model.eval())
        assert torch.equal(input_and_output(model, "head", x, model)[0], kept)
    assert logits.shape == (8, 1000)
    assert 0.25 < ((features == 0) & (pooled != 0)).float().mean() < 0.35


def test_gamma_zero_can_be_asked_for_in_the_originals_networks():
    model = create_model("lambda_resnet18_original", zero_gamma=True)
    assert all((block.residual[-1].weight == 0).all() for stage in model.stages for block in stage)
