"""Digits, splits, batches and normalisation: what `ImageData` promises whatever the pictures are."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdalab.augment import Augment
from lambdalab.data import ImageData, Split, check_data, list_data, load_data
from lambdalab.errors import UserError

PARTS = ("train", "val", "test")


def numbered(count, channels=1):
    """Data whose pictures say their own number: label i, and i in every pixel of a 4×4 picture."""
    labels = torch.arange(count)
    images = labels.to(torch.uint8)[:, None, None, None].expand(-1, channels, 4, 4).contiguous()
    split = Split(images, labels)
    return ImageData("numbered", split, split, split, ("a", "b"), (0.5,) * channels, (0.25,) * channels, {})


def equal(first, second):
    """Whether two iterables of (images, labels) hold the same tensors."""
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(*pair) for batches in zip(first, second, strict=True) for pair in zip(*batches, strict=True)
    )


def test_digits_are_scikit_learns_each_in_one_part():
    from sklearn.datasets import load_digits

    data, original = load_data("digits"), load_digits()
    images = torch.cat([getattr(data, part).images for part in PARTS]).numpy()
    labels = torch.cat([getattr(data, part).labels for part in PARTS]).numpy()
    expected = np.column_stack([original.data * 15, original.target])
    found = np.column_stack([images.reshape(-1, 64), labels])
    assert len(np.unique(expected, axis=0)) == 1797  # no picture is there twice, so none can be in two parts
    assert np.array_equal(np.unique(found, axis=0), np.unique(expected, axis=0))
    assert len(found) == 1797
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert data.classes == tuple("0123456789")
    assert (data.num_classes, data.channels, data.size) == (10, 1, (8, 8))
    assert repr(data) == "ImageData(digits: 1,211 train, 136 val, 450 test; 10 classes, pictures 1×8×8)"


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@settings(deadline=None, max_examples=10)
@given(val_fraction=st.floats(0.001, 0.5), split_seed=st.integers(-5, 2**40))
def test_parts_are_stratified_and_the_test_part_is_always_the_same(digits, val_fraction, split_seed):
    data = load_data(val_fraction=val_fraction, split_seed=split_seed)
    assert equal([data.test], [digits.test])
    train, val, test = (torch.bincount(getattr(data, part).labels, minlength=10) for part in PARTS)
    assert (test - (train + val + test) / 4).abs().max() <= 0.5
    assert (val - ((train + val).double() * val_fraction).clamp(min=1)).abs().max() <= 0.5


def test_split_seed_alone_decides_the_validation_part():
    torch.manual_seed(1)
    first = load_data(split_seed=5)
    torch.manual_seed(2)
    assert equal([first.val, first.train], [(again := load_data(split_seed=5)).val, again.train])
    assert not torch.equal(first.val.images, load_data(split_seed=6).val.images)


@pytest.mark.parametrize("val_fraction", [0, -0.1, 0.51, 1, float("nan")])
def test_refuses_a_val_fraction_out_of_range(val_fraction):
    with pytest.raises(UserError, match=r"val_fraction is .* above 0 and at most 0\.5"):
        load_data(val_fraction=val_fraction)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"val_fraction": 0.3, "split_seed": 7}, {"name": "offset_pairs", "size": 22, "split_seed": 1}],
)
def test_config_builds_the_same_data_again(arguments):
    data = load_data(**arguments)
    again = load_data(**json.loads(json.dumps(data.config)))
    assert equal([data.train, data.val, data.test], [again.train, again.val, again.test])
    assert (data.mean, data.std, data.config) == (again.mean, again.std, again.config)


@pytest.mark.parametrize("name", ["digits", "offset_pairs"])
def test_normalised_training_pictures_have_mean_0_and_deviation_1(name):
    data = load_data(name)
    scaled = data.train.images.double().numpy() / 255
    assert np.allclose(data.mean, scaled.mean((0, 2, 3)), rtol=1e-12)
    assert np.allclose(data.std, scaled.std((0, 2, 3)), rtol=1e-12)
    normal = data.normalise(data.train.images)
    assert normal.dtype == torch.float32
    assert normal.shape == data.train.images.shape
    assert normal.mean((0, 2, 3)).abs().max() < 1e-5
    assert (normal.std((0, 2, 3)) - 1).abs().max() < 1e-4


def test_normalise_is_per_channel():
    data = ImageData(
        "three", *[Split(torch.zeros(1, 3, 2, 2), torch.zeros(1))] * 3, ("a", "b"), (0, 0.2, 1), (1, 2, 4), {}
    )
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert torch.allclose(data.normalise(images)[0, :, 1, 0], torch.tensor([1, 0.4, 0]))


@settings(deadline=None)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.none() | st.integers(0, 99))
def test_a_pass_serves_every_picture_once_with_its_label(count, batch_size, seed):
    data = numbered(count)
    batches = list(data.batches(data.train, batch_size, seed=seed, epoch=3))
    sizes = [len(labels) for _, labels in batches]
    assert len(sizes) == -(-count // batch_size) and max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    labels = torch.cat([labels for _, labels in batches])
    assert torch.equal(labels.sort().values, torch.arange(count))
    assert torch.equal(torch.cat([images for images, _ in batches])[:, 0, 2, 1], labels.to(torch.uint8))
    assert seed is not None or torch.equal(labels, torch.arange(count))


def test_order_depends_on_seed_and_epoch():
    data = numbered(200)
    orders = [
        next(data.batches(data.train, 200, seed=seed, epoch=epoch))[1] for seed in (0, 1, 2) for epoch in (0, 1, 2)
    ]
    assert len(torch.stack(orders).unique(dim=0)) == 9
    share_left_in_place = (torch.stack(orders) == torch.arange(200)).double().mean()
    assert share_left_in_place < 0.05


@settings(deadline=None, max_examples=50)
@given(
    batch_size=st.integers(1, 30),
    start=st.integers(0, 12),
    seed=st.none() | st.integers(0, 9),
    epoch=st.integers(0, 3),
    augment=st.sampled_from([None, Augment(crop=1, flip=True, cutout=2)]),
)
def test_a_resumed_pass_serves_the_same_batches(batch_size, start, seed, epoch, augment):
    data, options = numbered(40), {"seed": seed, "epoch": epoch, "augment": augment}
    whole = list(data.batches(data.train, batch_size, **options))
    torch.manual_seed(start)
    assert equal(whole[start:], data.batches(data.train, batch_size, **options, start=start))


def test_augmentation_differs_by_seed_epoch_and_step():
    data = numbered(32)
    same = Split(data.train.images[:1].repeat(32, 1, 1, 1) + 9, data.train.labels)
    options = {"augment": Augment(crop=3)}
    passes = [data.batches(same, 16, seed=seed, epoch=epoch, **options) for seed in (0, 1) for epoch in (0, 1)]
    batches = [images for each in passes for images, _ in each]
    assert len(torch.stack(batches).unique(dim=0)) == 8


def test_refuses_an_empty_batch_before_serving_any():
    data = numbered(4)
    with pytest.raises(UserError, match="batch_size is 0; it must be 1 or more"):
        data.batches(data.train, 0)


def test_to_moves_all_parts_and_keeps_the_rest():
    data = load_data().to("meta")
    assert {tensor.device.type for part in PARTS for tensor in getattr(data, part)} == {"meta"}
    assert (data.name, data.size, data.config) == ("digits", (8, 8), load_data().config)


def test_unknown_names_get_a_suggestion():
    for call in (check_data, load_data):
        with pytest.raises(UserError, match=r"unknown dataset 'digit'; did you mean 'digits'\? \(known: cifar10, "):
            call("digit")
    assert list_data() == sorted(list_data())


@pytest.mark.parametrize("name", ["digits", "offset_pairs"])
def test_bundled_data_pass_the_check_and_take_no_folder(name, tmp_path):
    check_data(name)
    for call in (check_data, load_data):
        with pytest.raises(UserError, match=f"'{name}' comes with lambdalab and takes no data_dir"):
            call(name, data_dir=tmp_path)


def test_pictures_of_one_size_take_no_size():
    with pytest.raises(UserError, match="'digits' has pictures of one size; leave size out"):
        load_data("digits", size=8)


def test_import_loads_no_heavy_library():
    heavy = ("torchvision", "PIL", "sklearn", "matplotlib", "pandas")
    code = f"import sys, lambdalab.data; print(sorted(set(sys.modules) & set({heavy})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.gpu
def test_batches_on_a_gpu_are_those_on_the_cpu():
    data, options = load_data(), {"seed": 1, "epoch": 2, "augment": Augment(crop=1, flip=True, cutout=2)}
    moved = data.to("cuda")
    there = list(moved.batches(moved.train, 100, **options))
    assert all(images.is_cuda and labels.is_cuda for images, labels in there)
    assert equal(data.batches(data.train, 100, **options), [(images.cpu(), labels.cpu()) for images, labels in there])
    assert torch.allclose(moved.normalise(there[0][0]).cpu(), data.normalise(there[0][0].cpu()), atol=1e-6)
