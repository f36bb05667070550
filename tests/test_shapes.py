"""Maps, offsets and parts of a network: the closed forms against hooks and gradients of real networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import count_parameters, create_model, model_config
from lambdalab.original import OriginalLambdaLayer
from lambdalab.shapes import (
    PARTS,
    lambda_maps,
    parameters_by_part,
    stage_maps,
    usable_offsets,
    usable_positions,
    usable_share,
)

BLOCKS = ["lambda_resnet18", "lambda_resnet26", "lambda_resnet18_original"]  # one of each kind
LAYERS = (LambdaLayer, OriginalLambdaLayer)


@st.composite
def networks(draw):
    """A network's name, its options, among them one to four stages of one to three blocks, and a picture's size."""
    name = draw(st.sampled_from(BLOCKS))
    count = draw(st.integers(1, 4))
    options = {
        "depths": tuple(draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))),
        "stages": draw(st.text("CL", min_size=count, max_size=count)),
        "stem": draw(st.sampled_from(["imagenet", "cifar"])),
        "scope": draw(st.sampled_from([1, 3, 5, 7, 23])),
        "dim_k": draw(st.integers(1, 3)),
        "dim_u": draw(st.integers(1, 2)),
    }
    return name, options, draw(st.integers(1, 40))


def tiny(name: str, **options) -> nn.Module:
    return create_model(name, **{"width": 4, "heads": 2, "num_classes": 3, **options})


def sizes_seen(model: nn.Module, kinds: tuple, size: int) -> list[tuple[int, int]]:
    """What the modules of these kinds are given, from a hook on each, in the order in which they are called."""
    seen = []
    for module in model.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda module, given, result: seen.append(tuple(given[0].shape[2:])))
    with torch.no_grad():
        model(torch.empty(2, 3, size, size, device="meta"))
    return seen


@settings(max_examples=30, deadline=None)
@given(network=networks())
def test_lambda_maps_are_what_hooks_on_the_layers_see(network):
    name, options, size = network
    with torch.device("meta"):
        model = tiny(name, **options)
    assert [(side, side) for side in lambda_maps(model.config, size)] == sizes_seen(model, LAYERS, size)


@settings(max_examples=20, deadline=None)
@given(network=networks())
def test_stage_maps_are_what_stem_and_stages_return(network):
    name, options, size = network
    with torch.device("meta"):
        model = tiny(name, **options)
        x = model.stem(torch.empty(2, 3, size, size))
        maps = [x.shape[2]]
        for stage in model.stages:
            x = stage(x)
            maps.append(x.shape[2])
    assert stage_maps(model.config, size) == maps


@settings(max_examples=60, deadline=None)
@given(r=st.integers(0, 6).map(lambda half: 2 * half + 1), size=st.integers(1, 9))
def test_usable_offsets_are_those_that_pairs_of_pixels_have(r, size):
    pixels = [(row, column) for row in range(size) for column in range(size)]
    pairs = {(m[0] - n[0], m[1] - n[1]) for n in pixels for m in pixels}
    assert usable_offsets(None, size) == len(pairs)
    assert usable_offsets(r, size) == len([offset for offset in pairs if max(map(abs, offset)) <= r // 2])


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 18),
    r=st.sampled_from([1, 3, 9, 23]),
    dim_u=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_layers_gradient_reaches_just_the_usable_offsets(size, r, dim_u, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = LambdaLayer(2, dim_k=2, heads=1, dim_u=dim_u, scope=r).double()
    y = layer(torch.randn(3, 2, size, size, generator=generator).double())
    (y * torch.randn(y.shape, generator=generator).double()).sum().backward()
    heard = (layer.embedding.grad != 0).sum().item()
    assert heard == 2 * dim_u * usable_offsets(r, size)


def gradients(model: nn.Module, size: int) -> tuple[int, int]:
    """How many position parameters a random linear function of the output gives a gradient, and how many there are."""
    torch.manual_seed(0)
    y = model(torch.randn(4, 3, size, size))
    (y * torch.randn_like(y)).sum().backward()
    tables = [p for name, p in model.named_parameters() if name.endswith("embedding")]
    return sum(int((table.grad != 0).sum()) for table in tables), sum(table.numel() for table in tables)


@pytest.mark.parametrize(
    ("stem", "size", "percent"), [("imagenet", 32, 13.6), ("cifar", 32, 67.1), ("imagenet", 224, 91.5)]
)
def test_the_three_shares_of_lambda_resnet50_by_formula_and_by_gradients(stem, size, percent):
    assert round(100 * usable_share(model_config("lambda_resnet50", stem=stem), size), 1) == percent
    torch.manual_seed(0)
    model = tiny("lambda_resnet50", stem=stem, width=16, dim_k=2, zero_gamma=False)
    found = gradients(model, size)
    assert found == usable_positions(model.config, size)
    assert found[0] / found[1] == usable_share(model.config, size)


@pytest.mark.parametrize("name", [*BLOCKS, "lambda_resnet11_tiny"])
@pytest.mark.parametrize(("stem", "size"), [("cifar", 9), ("imagenet", 30)])
@pytest.mark.parametrize("pattern", ["L", "CL", "LLC"])
def test_shares_of_other_networks_by_gradients(name, stem, size, pattern):
    stages = (pattern * 4)[: len(model_config(name).stages)]
    torch.manual_seed(0)
    model = tiny(name, stem=stem, stages=stages, width=16, dim_u=2, scope=7, zero_gamma=False).double()
    torch.set_default_dtype(torch.float64)
    try:
        assert gradients(model, size) == usable_positions(model.config, size)
    finally:
        torch.set_default_dtype(torch.float32)


def test_global_context_wastes_nothing_on_its_own_pictures():
    model = tiny("lambda_resnet26", width=16, scope=None, image_size=30, stem="cifar", zero_gamma=False)
    usable, total = usable_positions(model.config, 30)
    assert usable == total == sum(p.numel() for name, p in model.named_parameters() if name.endswith("embedding"))
    with pytest.raises(UserError, match="made for image_size=30, not for 32"):
        usable_positions(model.config, 32)


def test_the_originals_global_context_is_one_embedding_for_all_offsets():
    model = tiny("lambda_resnet18_original", scope=None, dim_k=3, dim_u=2)
    total = sum(p.numel() for name, p in model.named_parameters() if name.endswith("embedding"))
    assert usable_positions(model.config, 32) == (total, total) == (8 * 3 * 2,) * 2


@pytest.mark.parametrize(("name", "options"), [("resnet50", {}), ("lambda_resnet50", {"position": False})])
def test_nothing_lies_idle_where_there_are_no_position_parameters(name, options):
    config = model_config(name, **options)
    assert usable_positions(config, 32) == (0, 0) and usable_share(config, 32) == 1


@pytest.mark.parametrize("size", [0, -3])
def test_a_picture_without_pixels_is_refused(size):
    for function in (stage_maps, lambda_maps, usable_share):
        with pytest.raises(UserError, match=f"size must be at least 1, got {size}"):
            function(model_config("lambda_resnet50"), size)


@settings(max_examples=20, deadline=None)
@given(network=networks(), se_ratio=st.sampled_from([None, 4]))
def test_parts_add_up_and_are_what_they_are_called(network, se_ratio):
    name, options, _ = network
    if model_config(name).block != "original":
        options["se_ratio"] = se_ratio
    with torch.device("meta"):
        model = tiny(name, **options)
    places = parameters_by_part(model)
    assert list(places) == ["stem", *(f"stage {i + 1}" for i in range(len(model.stages))), "head"]
    for place, module in zip(places, [model.stem, *model.stages, model.head], strict=True):
        assert sum(places[place].values()) == count_parameters(module)
        assert set(places[place]) <= set(PARTS)
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        assert places[place].get("norms", 0) == sum(count_parameters(norm) for norm in norms)
    letters = model.config.stages
    for stage, kind, module in zip(list(places.values())[1:-1], letters, model.stages, strict=True):
        layers = [m for m in module.modules() if isinstance(m, LAYERS)]
        assert bool(layers) == (kind == "L") == ("position embeddings" in stage)
        assert stage.get("position embeddings", 0) == sum(layer.embedding.numel() for layer in layers)
        assert ("squeeze-excitation" in stage) == bool(kind == "C" and options.get("se_ratio"))


def test_the_parts_of_resnet50_by_hand():
    with torch.device("meta"):
        conv, lambdas = (parameters_by_part(create_model("lambda_resnet50", stages=s)) for s in ("CCCC", "LLLL"))
    # Three blocks of width 64: 64 or 256 channels down to 64, up to 256, and a shortcut of 64 → 256.
    pointwise = (64 + 256 + 256) * 64 + 3 * 64 * 256 + 64 * 256
    assert conv["stage 1"]["1×1 convolutions"] == lambdas["stage 1"]["1×1 convolutions"] == pointwise
    assert conv["stage 1"]["spatial operator"] == 3 * 9 * 64 * 64
    assert lambdas["stage 1"]["spatial operator"] == 3 * 64 * (4 * 16 + 16 + 16)
    assert lambdas["stage 1"]["position embeddings"] == 3 * 16 * 23 * 23
    assert conv["stem"]["stem"] == 7 * 7 * 3 * 64 and conv["head"]["head"] == 2048 * 1000 + 1000
