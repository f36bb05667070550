"""The explorer of scopes without a kernel: what a smaller window keeps is what a layer with that window would see."""

import pytest
import torch

from lambdalab.capture import capture_lambdas, implied_tiles
from lambdalab.data import load_data
from lambdalab.errors import UserError
from lambdalab.explorers import ScopeExplorer
from lambdalab.listening import receptive_field
from lambdalab.models import create_model

DATA = load_data("digits")
FIRST = "stages.0.0.residual.spatial"


def make_model(**changes):
    torch.manual_seed(0)
    return create_model("lambda_resnet11_tiny", **({"channels": 1, "num_classes": 10, "scope": 9} | changes)).eval()


@pytest.fixture(scope="module")
def explorer() -> ScopeExplorer:
    return ScopeExplorer(make_model(), DATA.test.images[:2], like=DATA)


@pytest.mark.parametrize("scope", [1, 3, 5, 9])
def test_a_smaller_window_is_the_field_of_a_layer_that_has_it(explorer, scope):
    """Cut the embeddings of the first layer, and measure anew: the same field, the same kernels."""
    whole, small = make_model(), make_model(scope=scope)
    state = whole.state_dict()
    middle, half = 9 // 2, scope // 2
    for name in [name for name in state if name.endswith("embedding")]:
        state[name] = state[name][:, :, middle - half : middle + half + 1, middle - half : middle + half + 1]
    small.load_state_dict(state)
    with capture_lambdas(small, [FIRST]) as record, torch.no_grad():
        small(DATA.normalise(DATA.test.images[:2]))
    assert torch.allclose(explorer.field(FIRST, scope), receptive_field(record[FIRST], "position"), atol=1e-6)
    assert torch.equal(explorer.kernels(FIRST, scope), record[FIRST].embedding)
    total = [
        sum(implied.position.abs().sum() for b in range(2) for _, implied in implied_tiles(layer, b))
        for layer in (record[FIRST], explorer.layers[FIRST])
    ]
    assert explorer.share(FIRST, scope) == pytest.approx(float(total[0] / total[1]), rel=1e-4)


def test_each_control_changes_the_picture_and_the_text(explorer):
    layer, scope = explorer.controls["layer"], explorer.controls["scope"]
    seen = {(bytes(explorer.picture.value), explorer.text.value)}
    assert scope.options == (1, 3, 5, 7, 9) and scope.value == 9 and "100%" in explorer.text.value
    scope.value = 3
    seen.add((bytes(explorer.picture.value), explorer.text.value))
    assert "100%" not in explorer.text.value
    layer.value = layer.options[2]
    assert scope.options == (1, 3, 5, 7) and explorer.layers[layer.value].size == (4, 4)
    seen.add((bytes(explorer.picture.value), explorer.text.value))
    assert len(seen) == 3
    layer.value = layer.options[0]


def test_without_position_lambdas_there_is_nothing_to_explore():
    with pytest.raises(UserError, match="no position lambdas"):
        ScopeExplorer(make_model(position=False), DATA.test.images[:2], like=DATA)
