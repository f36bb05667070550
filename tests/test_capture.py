"""Capturing: the weights a lambda layer implies give back its output, for every make, and capturing changes nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from identity import check_identity
from reference import content_lambda, embedding_of, picture, positions, randomise, relative_error
from torch import nn

from lambdalab.capture import Captured, capture_lambdas, implied_attention, implied_maps, implied_tiles
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import create_model


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    scope=st.sampled_from([None, 1, 3, 7]),
    dim_u=st.sampled_from([1, 2, 4]),
    parts=st.sampled_from([{}, {"content": False}, {"position": False}]),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
def test_identity_of_a_layer_of_any_shape(size, scope, dim_u, parts, training, seed):
    extent = {"scope": scope, "size": size if scope is None else None}
    layer = randomise(LambdaLayer(3, 6, dim_k=2, heads=3, dim_u=dim_u, **extent, **parts).double(), seed)
    layer.train(training)
    with capture_lambdas(layer) as record:
        y = layer(picture(2, 3, *size, seed=seed + 1))
    captured = record["layer"]
    assert captured.size == size and captured.scope == scope
    assert torch.equal(captured.output.transpose(2, 3).reshape(y.shape), y)
    check_identity(captured)
    for part, off in (("content", layer.to_k is None), ("position", layer.embedding is None)):
        weights = getattr(implied_attention(captured, 0, 0, (0, 0)), part)
        assert weights.shape == (dim_u, *size) and bool(weights.any()) is not off


@pytest.fixture
def captured() -> Captured:
    """Two pictures of 4×3 pixels, two heads, two copies."""
    layer = randomise(LambdaLayer(3, 4, dim_k=2, heads=2, dim_u=2, scope=3).double(), 0).eval()
    with capture_lambdas(layer) as record:
        layer(picture(2, 3, 4, 3))
    return record["layer"]


def test_each_weight_is_a_query_times_a_key_or_an_embedding(captured):
    for n, pixel in enumerate(positions(captured.size)):
        implied = implied_attention(captured, 1, 0, pixel)
        query = captured.queries[1, 0, n]
        for m, place in enumerate(positions(captured.size)):
            for u in range(2):
                entry = embedding_of(captured.embedding, pixel, place)
                by_position = 0.0 if entry is None else (query * entry[:, u]).sum().item()
                assert implied.position[u, *place].item() == pytest.approx(by_position, rel=1e-10, abs=1e-12)
                by_content = (query * captured.keys[1, m, u]).sum().item()
                assert implied.content[u, *place].item() == pytest.approx(by_content, rel=1e-10)
        assert torch.equal(implied.total, implied.content + implied.position)
        assert torch.equal(implied.summed.content, implied.content[0] + implied.content[1])


def test_maps_and_tiles_are_the_queries_one_by_one(captured):
    maps = implied_maps(captured, 1, 1)
    rows = []
    for (tile, alone), (same, together) in zip(implied_tiles(captured, 1, 1), implied_tiles(captured, 1), strict=True):
        assert tile == same and all(torch.allclose(a, b[1], rtol=1e-12) for a, b in zip(alone, together, strict=True))
        rows += range(12)[tile]
    assert rows == list(range(12))
    for n, pixel in enumerate(positions(captured.size)):
        one = implied_attention(captured, 1, 1, pixel).summed
        for part, whole in zip(one, maps, strict=True):
            assert torch.allclose(part, whole[n], rtol=1e-12, atol=1e-14)


def test_lambdas_applied_to_the_queries_are_the_output(captured):
    pixels = positions(captured.size)
    lambdas = captured.position_lambdas(pixels) + captured.content[:, None]
    y = (captured.queries[..., None] * lambdas[:, None]).sum(dim=3)
    assert relative_error(y, captured.output) <= 1e-10
    expected = content_lambda(captured.keys.clamp(min=1e-300).log(), captured.values)
    assert relative_error(captured.content, expected) <= 1e-10
    assert torch.equal(captured.position_lambdas([pixels[5], pixels[2]]), captured.position_lambdas(pixels)[:, [5, 2]])
    assert captured.position_lambdas([]).shape == (2, 0, 2, 2)
    assert not replace(captured, embedding=None).position_lambdas(pixels).any()


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return create_model("lambda_resnet11_tiny", channels=1, width=8, dim_k=2)


def test_training_while_capturing_gives_the_same_statistics_outputs_and_gradients():
    x, results = picture(4, 1, 8, 8).float(), []
    for layers in ([], None):
        model = small_model().train()
        with capture_lambdas(model, layers=layers) as record:
            y = model(x)
            y.square().sum().backward()
        gradients = [weight.grad for weight in model.parameters()]
        results.append([y, *gradients, *model.buffers()])
    assert all(torch.equal(without, captured) for without, captured in zip(*results, strict=True))
    assert not any(part.requires_grad for part in vars(record[record.layers[0]]).values() if torch.is_tensor(part))


def test_hooks_go_with_the_block_also_after_an_error():
    model = small_model().eval()
    with pytest.raises(RuntimeError, match="stop"), capture_lambdas(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_each_forward_replaces_the_record_and_it_stays_after_the_block():
    model = small_model().eval()
    with capture_lambdas(model, dtype=torch.float16) as record, torch.inference_mode():
        model(picture(1, 1, 8, 8).float())
        first = record[record.layers[0]]
        model(picture(3, 1, 8, 8, seed=2).float())
    kept = record[record.layers[0]]
    assert first.values.shape[0] == 1 and kept.values.shape[0] == 3 and kept.values.dtype == torch.float16
    weights = implied_attention(kept, 2, 0, (7, 7)).total
    assert weights.dtype == torch.float32 and weights.isfinite().all()


def test_the_record_is_a_copy_of_what_the_network_goes_on_to_change():
    model = nn.Sequential(LambdaLayer(3, 4, dim_k=2, scope=3), nn.ReLU(inplace=True)).eval()
    with capture_lambdas(model) as record, torch.no_grad():
        model(picture(1, 3, 4, 4).float())
    kept = record["0"]
    table = kept.embedding.clone()
    model[0].embedding.data.zero_()
    assert torch.equal(kept.embedding, table) and (kept.output < 0).any()


def test_an_error_in_the_model_leaves_no_record_of_an_earlier_picture():
    model = small_model().eval()
    with capture_lambdas(model) as record:
        model(picture(1, 1, 8, 8).float())
        with pytest.raises(RuntimeError):
            model(picture(1, 2, 8, 8).float())
    with pytest.raises(UserError, match=r"nothing is recorded of layer .* yet; call model\(pictures\)"):
        record[record.layers[0]]


def test_chosen_layers_are_recorded_in_the_networks_order():
    model = small_model().eval()
    with capture_lambdas(model) as everything:
        model(picture(1, 1, 8, 8).float())
    first, second, third = everything.layers
    with capture_lambdas(model, [third, first]) as record:
        model(picture(1, 1, 8, 8).float())
    assert record.layers == (first, third) and record[third].size == (4, 4)
    with pytest.raises(UserError, match="no lambda layer"):
        record[second]
    with capture_lambdas(model, first) as record:
        assert record.layers == (first,)


def test_arrays_have_the_papers_letters_and_the_same_numbers(captured):
    pixels = [(3, 2), (0, 1)]
    arrays = captured.arrays(pixels)
    assert dict(arrays.sizes) == {
        "b": 2,
        "h": 2,
        "n": 12,
        "m": 12,
        "k": 2,
        "u": 2,
        "v": 2,
        "r_y": 3,
        "r_x": 3,
        "pixel": 2,
    }
    assert (arrays.attrs["height"], arrays.attrs["width"], arrays.attrs["scope"]) == (4, 3, 3)
    y = (arrays.queries * arrays.content).sum("k").isel(n=11)
    y = y + (arrays.queries.isel(n=11) * arrays.position.isel(pixel=0)).sum("k")
    expected = arrays.output.sel(n=(arrays.n_row == 3) & (arrays.n_column == 2)).squeeze("n")
    assert abs(y - expected).max() < 1e-12
    left = arrays.embedding.sel(r_y=0, r_x=-1, k=1, u=0).item()
    assert left == captured.embedding[1, 0, 1, 0].item()
    alone = replace(captured, content=None, keys=None).arrays()
    assert "keys" not in alone and "position" not in alone and "bias" not in alone


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: implied_attention(c, 2, 0, (0, 0)), "there is no picture 2; give one from 0 to 1"),
        (lambda c: implied_attention(c, -1, 0, (0, 0)), "there is no picture -1; give one from 0 to 1"),
        (lambda c: implied_attention(c, 0, 2, (0, 0)), "there is no head 2; give one from 0 to 1"),
        (lambda c: implied_maps(c, 0, 5), "there is no head 5; give one from 0 to 1"),
        (lambda c: implied_maps(c, 9, 0), "there is no picture 9; give one from 0 to 1"),
        (
            lambda c: implied_attention(c, 0, 0, (0, 3)),
            r"\(0, 3\) is outside the layer's map of 4×3; rows go from 0 to 3",
        ),
        (lambda c: implied_attention(c, 0, 0, (-1, 0)), r"\(-1, 0\) is outside"),
        (lambda c: c.position_lambdas([(4, 0)]), r"\(4, 0\) is outside"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(captured, wrong, message):
    with pytest.raises(UserError, match=message) as error:
        wrong(captured)
    assert "\n" not in str(error.value)


def test_names_that_are_no_lambda_layers_are_refused():
    name = "stages.0.0.residual.spatial"
    with (
        pytest.raises(UserError, match=f"no lambda layer '{name}s'; did you mean '{name}'"),
        capture_lambdas(small_model(), [name + "s"]),
    ):
        pass
    convolutions = create_model("resnet11_tiny")
    with pytest.raises(UserError, match="this ResNet has no lambda layer; give a model"), capture_lambdas(convolutions):
        pass
