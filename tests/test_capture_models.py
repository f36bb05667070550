"""The implied weights give back the output of every lambda layer of every named model, and of timm's."""

import pytest
import torch
from identity import check_identity, corners
from reference import picture, randomise

from lambdalab.capture import capture_lambdas
from lambdalab.models import create_model, list_models, model_config

LAMBDA_MODELS = [name for name in list_models() if "L" in model_config(name).stages]
TIMM_MODELS = {"lambda_resnet26t": {}, "lambda_resnet50ts": {}, "lambda_resnet26rpt_256": {"img_size": 64}}


@pytest.mark.parametrize("dim_u", [1, 4])
@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("name", LAMBDA_MODELS)
def test_weights_times_values_are_the_output_of_every_layer_of_every_named_model(name, scope, dim_u):
    torch.manual_seed(0)
    config = model_config(name)
    size = 8 if config.stem == "cifar" else 32
    where = {"scope": None, "image_size": size} if scope == "global" else {"scope": 7}
    model = create_model(name, width=8, num_classes=2, dim_k=3, dim_u=dim_u, **where).double()
    blocks = sum(depth for kind, depth in zip(config.stages, config.depths, strict=True) if kind == "L")
    with capture_lambdas(model) as record, torch.no_grad():
        model(picture(2, 3, size, size))
    assert len(record.layers) == blocks * (2 if config.block == "basic" else 1)
    for layer in record.layers:
        captured = record[layer]
        check_identity(captured, pictures=[1], heads=[3], pixels=corners(captured.size))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", TIMM_MODELS)
def test_timms_layers_obey_the_same_identity(name, training):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = randomise(timm.create_model(name, **TIMM_MODELS[name]).double(), 1).train(training)
    outputs = {}
    with capture_lambdas(model) as record:
        for layer in record.layers:
            pool = model.get_submodule(layer).pool  # timm's own sum, before it is pooled
            pool.register_forward_hook(lambda module, inputs, y, layer=layer: outputs.update({layer: inputs[0]}))
        model(picture(2, 3, 64, 64))
    assert len(record.layers) > 1
    for layer in record.layers:
        captured = record[layer]
        assert torch.equal(captured.output.transpose(2, 3).reshape(outputs[layer].shape), outputs[layer])
        assert captured.size == outputs[layer].shape[2:]
        check_identity(captured, pictures=[1], pixels=corners(captured.size))
