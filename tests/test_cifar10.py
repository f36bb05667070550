"""CIFAR-10 in its own layout: a small one is read right; a damaged one is refused and never unpickled."""

import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from lambdalab.data import check_data, load_data
from lambdalab.errors import UserError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_cifar10(root, monkeypatch):
    """Write a small CIFAR-10 in its own layout, and make torchvision expect the checksums of these files.

    Returns the rows of 3072 bytes (red plane first) with their labels, in order, of both halves.
    """
    random, halves = np.random.default_rng(0), {}
    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for half in ("train_list", "test_list"):
        sums, rows, labels = [], [], []
        for name, _ in getattr(CIFAR10, half):
            rows.append(random.integers(0, 256, (40, 3072), dtype=np.uint8))
            labels.append(np.repeat(range(10), 4).tolist())
            sums.append([name, write(name, {"data": rows[-1], "labels": labels[-1]})])
        monkeypatch.setattr(CIFAR10, half, sums)
        halves[half] = np.concatenate(rows), np.concatenate(labels)
    meta = {"md5": write(CIFAR10.meta["filename"], {"label_names": CLASSES})}
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | meta)
    return halves


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Make any download fail the test that did not ask for it."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a download was started")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", forbidden)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(str(word) in str(caught.value) for word in words), str(caught.value)


def test_pixels_labels_and_classes(tmp_path, monkeypatch):
    halves = write_cifar10(tmp_path, monkeypatch)
    check_data("cifar10", data_dir=tmp_path)
    data = load_data("cifar10", data_dir=tmp_path, val_fraction=0.25)
    assert list(data.classes) == CLASSES
    rows, labels = halves["test_list"]
    assert np.array_equal(data.test.images.numpy(), rows.reshape(-1, 3, 32, 32))
    assert data.test.labels.tolist() == labels.tolist()
    assert [len(part.labels) for part in (data.train, data.val)] == [150, 50]
    assert torch.bincount(data.val.labels).tolist() == [5] * 10
    learned = [
        (*image.flatten().tolist(), label)
        for part in (data.train, data.val)
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    ]
    rows, labels = halves["train_list"]
    assert sorted(learned) == sorted((*row.tolist(), label) for row, label in zip(rows, labels, strict=True))


def test_the_default_place_is_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    refused(lambda: check_data("cifar10"), tmp_path / "data" / "cache" / "cifar10")
    write_cifar10(tmp_path / "data" / "cache" / "cifar10", monkeypatch)
    assert load_data("cifar10").config["data_dir"] is None


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch", "batches.meta"])
def test_what_is_not_there_is_refused_with_the_way_to_get_it(tmp_path, monkeypatch, missing):
    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / CIFAR10.base_folder / missing).unlink()
    for call in (check_data, load_data):
        refused(lambda call=call: call("cifar10", data_dir=tmp_path), missing, "download=True", "'folder'")


@pytest.mark.parametrize("damaged", ["data_batch_5", "test_batch", "batches.meta"])
def test_a_damaged_file_is_refused_and_never_unpickled(tmp_path, monkeypatch, damaged):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").write_text, ("code of a stranger has run",)

    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / CIFAR10.base_folder / damaged).write_bytes(pickle.dumps(Trap()))
    refused(lambda: load_data("cifar10", data_dir=tmp_path), "damaged", "checksum", "download=True")
    assert not (tmp_path / "sprung").exists()


def test_torchvisions_own_checksums_refuse_other_files(tmp_path, monkeypatch):
    with monkeypatch.context() as small:
        write_cifar10(tmp_path, small)
    refused(lambda: load_data("cifar10", data_dir=tmp_path), "has a wrong checksum")


def test_a_download_is_made_only_if_asked_for_and_needed(tmp_path, monkeypatch):
    calls = []

    def fetch(url, root, filename, md5):
        calls.append((url, md5))
        small.update(write_cifar10(tmp_path, monkeypatch))

    small = {}
    refused(lambda: load_data("cifar10", data_dir=tmp_path), "download=True")
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fetch)
    for _ in range(2):
        data = load_data("cifar10", data_dir=tmp_path, download=True)
        assert len(data.test.labels) == len(small["test_list"][1])
    assert calls == [(CIFAR10.url, CIFAR10.tgz_md5)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (URLError("no route to host"), ("could not be downloaded", "no route to host")),
        (RuntimeError("md5"), ("damaged",)),
    ],
)
def test_a_failed_download_is_refused_in_one_line(tmp_path, monkeypatch, error, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    refused(lambda: load_data("cifar10", data_dir=tmp_path, download=True), *words, "try again")
