"""Measures of a layer's record against sums written out over pictures, heads, queries, context and copies."""

import math
from itertools import product

import pytest
import torch
from reference import embedding_of, picture, positions, randomise

from lambdalab.capture import Captured, capture_lambdas
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.listening import energy_shares, mean_distance, received, receptive_field, similarity

SIZE = (3, 4)


def record(**options) -> Captured:
    layer = LambdaLayer(3, 4, **{"dim_k": 2, "heads": 2, "dim_u": 2, "scope": 3} | options)
    with capture_lambdas(randomise(layer.double(), 0).eval()) as made:
        layer(picture(2, 3, *SIZE))
    return made["layer"]


def weights(captured: Captured, part: str) -> dict[tuple, float]:
    """a_nmu by (picture, head, n, m, u), each from one query and one key or embedding."""
    made, places = {}, positions(SIZE)
    for i, h, (n, here), (m, there), u in product(range(2), range(2), enumerate(places), enumerate(places), range(2)):
        query, entry = captured.queries[i, h, n], embedding_of(captured.embedding, here, there)
        content = (query * captured.keys[i, m, u]).sum().item()
        position = 0.0 if entry is None else (query * entry[:, u]).sum().item()
        made[i, h, n, m, u] = {"content": content, "position": position, "total": content + position}[part]
    return made


@pytest.mark.parametrize("part", ["content", "position", "total"])
def test_receptive_field_is_the_mean_weight_of_all_pairs_with_an_offset(part):
    captured, places, offsets = record(), positions(SIZE), {}
    for (i, h, n, m, _), weight in weights(captured, part).items():
        offset = places[m][0] - places[n][0] + 2, places[m][1] - places[n][1] + 3
        offsets.setdefault(offset, {}).setdefault((i, h, n, m), []).append(abs(weight))
    field = receptive_field(captured, part)
    assert field.shape == (5, 7) and len(offsets) == 35
    for offset, pairs in offsets.items():
        expected = sum(map(sum, pairs.values())) / len(pairs)
        assert field[offset].item() == pytest.approx(expected, rel=1e-10, abs=1e-14)
    if part == "position":
        assert field[2, 3] > 0 and not field[0].any() and not field[:, 5].any()  # the scope is 3


@pytest.mark.parametrize("part", ["content", "position", "total"])
def test_received_is_the_mean_weight_on_a_pixel_over_queries_and_heads(part):
    captured = record()
    sums = torch.zeros(12, dtype=torch.float64)
    for (i, _, _, m, _), weight in weights(captured, part).items():
        sums[m] += abs(weight) / (2 * 12) if i == 1 else 0
    assert torch.allclose(received(captured, 1, part), sums.reshape(SIZE), rtol=1e-10)


def test_mean_distance_is_the_weighted_mean_of_the_offsets_lengths():
    field = torch.zeros(5, 7)
    field[2, 3] = 1.0
    assert mean_distance(field) == 0
    field[4, 3] = 1.0
    assert mean_distance(field) == pytest.approx(1.0)
    field[0, 0] = 2.0
    assert mean_distance(field) == pytest.approx((2 + 2 * math.hypot(2, 3)) / 4)


def test_energy_shares_are_those_of_the_two_sums_and_add_up_to_one():
    captured = record()
    shares = energy_shares(captured)
    by_part = {part: weights(captured, part) for part in ("content", "position")}
    for h in range(2):
        y = {part: torch.zeros(2, 12, 2, dtype=torch.float64) for part in by_part}
        for part, each in by_part.items():
            for (i, head, n, m, u), weight in each.items():
                if head == h:
                    y[part][i, n] += weight * captured.values[i, m, u]
        whole = (y["content"] + y["position"]).square().sum()
        both = 2 * (y["content"] * y["position"]).sum()
        expected = torch.stack([y["content"].square().sum(), y["position"].square().sum(), both]) / whole
        assert torch.allclose(shares[h], expected, rtol=1e-10)
    assert torch.allclose(shares.sum(dim=1), torch.ones(2, dtype=torch.float64), rtol=1e-10)


@pytest.mark.parametrize(("options", "expected"), [({"position": False}, [1, 0, 0]), ({"content": False}, [0, 1, 0])])
def test_one_lambda_alone_has_all_the_energy(options, expected):
    assert torch.allclose(energy_shares(record(**options)), torch.tensor([expected] * 2).double(), atol=1e-12)


@pytest.mark.parametrize(("among", "axis"), [("heads", 1), ("copies", 4)])
def test_similarity_is_the_cosine_of_all_weights(among, axis):
    captured, maps = record(), {0: [], 1: []}
    for key, weight in weights(captured, "total").items():
        if key[0] == 0:
            maps[key[axis]].append(weight)
    first, second = torch.tensor(maps[0]), torch.tensor(maps[1])
    cosine = similarity(captured, 0, among)
    expected = (first @ second / (first.norm() * second.norm())).item()
    assert cosine.shape == (2, 2) and cosine[0, 1].item() == pytest.approx(expected, rel=1e-5)
    assert cosine[1, 0].item() == pytest.approx(expected, rel=1e-5)
    assert cosine.diagonal().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: receptive_field(c, "both"), "no part 'both'; give content, position, total"),
        (lambda c: received(c, 2), "there is no picture 2; give one from 0 to 1"),
        (lambda c: received(c, 0, "sum"), "no part 'sum'"),
        (lambda c: similarity(c, 0, "layers"), "no part 'layers'; give heads, copies"),
    ],
)
def test_what_is_not_there_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        wrong(record())
