"""The same weights in other people's code give the same numbers: timm, lambda-networks, torchvision."""

import pytest
import timm
import torch
import torchvision
from lambda_networks import LambdaLayer as LucidrainsLayer
from reference import picture, randomise, relative_error
from timm.layers.lambda_layer import LambdaLayer as TimmLayer

from lambdalab.layers import LambdaLayer
from lambdalab.models import count_parameters, create_model

SIZES = [(7, 7), (6, 6), (5, 8), (15, 14)]  # the last one is beyond the dense path


def copy_from_timm(peer: TimmLayer, ours: LambdaLayer) -> None:
    projections = peer.qkv.weight.data.split([layer.weight.shape[0] for layer in (ours.to_q, ours.to_k, ours.to_v)])
    for layer, weight in zip((ours.to_q, ours.to_k, ours.to_v), projections, strict=True):
        layer.weight.data.copy_(weight)
    ours.norm_q.load_state_dict(peer.norm_q.state_dict())
    ours.norm_v.load_state_dict(peer.norm_v.state_dict())
    if peer.conv_lambda is None:
        ours.embedding.data.copy_(peer.pos_emb.permute(2, 0, 1).unsqueeze(1))
    else:
        ours.embedding.data.copy_(peer.conv_lambda.weight.squeeze(4))
        peer.conv_lambda.bias.data.zero_()  # a bias that the paper's sum does not have


def check(ours: torch.nn.Module, peer: torch.nn.Module, x: torch.Tensor) -> None:
    """Equal outputs and input gradients, with batch norms in training and in evaluation."""
    for training in (True, False):
        results = []
        for layer in (ours.train(training), peer.train(training)):
            leaf = x.clone().requires_grad_()
            y = layer(leaf)
            results.append((y, *torch.autograd.grad((y * picture(*y.shape, seed=7)).sum(), leaf)))
        assert all(relative_error(mine, theirs) <= 1e-10 for mine, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("r", "heads"), [(3, 4), (9, 1), (23, 2)])
def test_timm_local(size, r, heads):
    peer = randomise(TimmLayer(8, num_heads=heads, dim_head=5, r=r).double(), seed=r)
    ours = LambdaLayer(8, dim_k=5, heads=heads, scope=r).double()
    copy_from_timm(peer, ours)
    check(ours, peer, picture(3, 8, *size))


@pytest.mark.parametrize("size", SIZES)
def test_timm_global(size):
    peer = randomise(TimmLayer(8, feat_size=size, num_heads=4, dim_head=5, r=None).double(), seed=1)
    ours = LambdaLayer(8, dim_k=5, heads=4, scope=None, size=size).double()
    copy_from_timm(peer, ours)
    check(ours, peer, picture(3, 8, *size))


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("dim_u", [1, 2, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("context", [3, 23, None])
def test_lambda_networks(size, dim_u, context):
    shape = {"dim_k": 5, "dim_out": 12, "heads": 4, "dim_u": dim_u}
    if context is None:
        size = (size[0], size[0])  # its global context is square
        peer, where = LucidrainsLayer(8, n=size[0], **shape), {"scope": None, "size": size}
    else:
        peer, where = LucidrainsLayer(8, r=context, **shape), {"scope": context}
    weights = randomise(peer.double(), seed=dim_u).state_dict()
    if context is None:
        weights["embedding"] = weights.pop("rel_pos_emb").permute(2, 3, 0, 1)
    else:
        peer.pos_conv.bias.data.zero_()  # a bias that the paper's sum does not have
        weights["embedding"] = weights.pop("pos_conv.weight").squeeze(2)
        del weights["pos_conv.bias"]
    ours = LambdaLayer(8, **shape, **where).double()
    ours.load_state_dict(weights)
    check(ours, peer, picture(3, 8, *size))


def copy_in_order(peer: torch.nn.Module, ours: torch.nn.Module) -> None:
    """Copy weights and statistics one by one: the modules must come in the same order and shapes."""
    theirs, mine = peer.state_dict().values(), ours.state_dict()
    assert [tensor.shape for tensor in theirs] == [tensor.shape for tensor in mine.values()]
    ours.load_state_dict(dict(zip(mine, theirs, strict=True)))


@pytest.mark.parametrize("size", [64, 75])
@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_resnet(depth, size):
    peer = randomise(torchvision.models.get_model(f"resnet{depth}", num_classes=10).double(), seed=depth).eval()
    ours = create_model(f"resnet{depth}", num_classes=10).double().eval()
    copy_in_order(peer, ours)
    x = picture(2, 3, size, size)
    with torch.no_grad():
        assert relative_error(ours(x), peer(x)) <= 1e-10


def test_timm_squeeze_excitation():
    peer = randomise(timm.create_model("seresnet50", num_classes=10).double(), seed=0).eval()
    ours = create_model("resnet50", num_classes=10, se_ratio=16).double().eval()
    copy_in_order(peer, ours)
    x = picture(2, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(ours(x), peer(x)) <= 1e-10


@pytest.mark.parametrize("depth", [18, 50, 101, 152])
def test_torchvision_counts(depth):
    with torch.device("meta"):
        peer, ours = torchvision.models.get_model(f"resnet{depth}"), create_model(f"resnet{depth}")
    assert count_parameters(ours) == sum(weight.numel() for weight in peer.parameters())
