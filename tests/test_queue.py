"""The replay queue's file: strict to the last key, and the one that is shipped has all it must."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lambdalab import UserError, count_parameters, create_model
from lambdalab.cost import model_cost
from lambdalab.queue import planned_runs, read_queue
from lambdalab.recipe import TrainConfig, learning_rate

ROOT = Path(__file__).resolve().parent.parent
SMALL = """
datasets:
  digits: {dataset: digits}
  pictures: {dataset: folder, folder: pictures, lossless: pictures-png, label: "Pictures, JPEG q75"}
recipes:
  tiny: {epochs: 2, warmup_epochs: 0.5}
defaults: {data: digits, recipe: tiny, seeds: [0, 1]}
gpu:
  - {name: big, answers: is it big, model: resnet18, data: pictures, train: {epochs: 3, lr: 1}}
laptop:
  - {name: conv, answers: is it convolution, model: resnet11_tiny, seeds: [4]}
  - {name: lambda, answers: is it lambda, model: lambda_resnet11_tiny, options: {scope: 3, position: false}}
"""


@pytest.fixture(scope="module")
def shipped():
    return read_queue(ROOT / "configs" / "replays.yaml")


@pytest.fixture(scope="module")
def built(shipped):
    """Each row's network, on the meta device."""
    networks = {}
    for row in shipped:
        options = {"num_classes": 10, **row.options}
        if options.get("scope") == 0:
            options.update(scope=None, image_size=row.source.size or 32)
        with torch.device("meta"):
            networks[row.name] = create_model(row.model, **options)
    return networks


def read(tmp_path, text: str):
    path = tmp_path / "queue.yaml"
    path.write_text(text, encoding="utf-8")
    return read_queue(path)


def test_rows_stand_in_the_files_order_with_their_defaults(tmp_path):
    big, conv, network = read(tmp_path, SMALL)
    assert [run.name for run in planned_runs([big, conv, network])] == [
        "big-seed0",
        "big-seed1",
        "conv-seed4",
        "lambda-seed0",
        "lambda-seed1",
    ]
    assert (big.machine, conv.machine, network.machine) == ("gpu", "laptop", "laptop")
    assert planned_runs([big])[1].config("cuda") == TrainConfig(
        epochs=3, warmup_epochs=0.5, lr=1, seed=1, device="cuda"
    )
    assert big.source.label == "Pictures, JPEG q75" and conv.source.label == "digits"
    assert network.options == {"scope": 3, "position": False} and conv.options == {}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("gpu:", "gpus:", "did you mean 'gpu'"),
        ("model: resnet18", "modle: resnet18", "row 'big': unknown key 'modle'; did you mean 'model'"),
        ("model: resnet18", "model: resnet17", "row 'big': unknown model 'resnet17'"),
        ("model: resnet18", "model: 18", "row 'big': 'model' must be text, got 18"),
        (", model: resnet18", "", "row 'big': 'model' is missing"),
        ("answers: is it big, ", "", "row 'big': 'answers' is missing"),
        ("name: big", "name: a/b", "a name becomes a folder"),
        ("name: big", "name: conv", "two rows named 'conv'"),
        ("{name: big, answers: is it big", "{answers: is it big", "gpu row 1: 'name' is missing"),
        ("data: pictures", "data: picture", "unknown dataset 'picture'; did you mean 'pictures'"),
        ("{dataset: digits}", "{dataset: digit}", "dataset 'digits': unknown dataset 'digit'"),
        ("{dataset: digits}", "{dataset: digits, folder: x}", "'folder' goes with the dataset folder or cifar10"),
        (", label: ", ", lable: ", "did you mean 'label'"),
        ("{dataset: digits}", "{dataset: digits, jpeg: 75}", "'jpeg' goes with the dataset folder or cifar10"),
        ("{dataset: digits}", "{dataset: cifar10, jpeg: 75}", "'label' is missing"),
        ("lossless: pictures-png", "jpeg: 100", "'jpeg' is a quality from 1 to 95, got 100"),
        ("lossless: pictures-png", "jpeg: high", "'jpeg' must be a whole number"),
        ("lossless: pictures-png", "lossless: pictures-png, jpeg: 75", "leave out 'lossless'"),
        ("folder: pictures, ", "", "dataset 'pictures': 'folder' is missing"),
        ("recipe: tiny", "recipe: large", "unknown recipe 'large' (known: tiny)"),
        ("epochs: 2,", "epoch: 2,", "recipe 'tiny': unknown key 'epoch'; did you mean 'epochs'"),
        ("epochs: 2,", "epochs: 0,", "recipe 'tiny': epochs must be at least 1"),
        ("epochs: 2,", "epochs: 2, lr: 1e-1,", "lr must be of type float, got '1e-1'"),
        ("epochs: 2,", "epochs: 2, seed: 1,", "unknown key 'seed'"),
        ("train: {epochs: 3, lr: 1}", "train: {epochs: three}", "row 'big': epochs must be of type int"),
        ("train: {epochs: 3, lr: 1}", "train: 3", "row 'big': 'train' must be a table"),
        ("seeds: [4]", "seeds: 4", "row 'conv': 'seeds' must be a list"),
        ("seeds: [4]", "seeds: [4, 4]", "seeds must be different whole numbers"),
        ("seeds: [4]", "seeds: [true]", "seeds must be different whole numbers"),
        ("seeds: [4]", "seeds: []", "seeds must be different whole numbers"),
        ("scope: 3", "scope: '3'", "row 'lambda', options: 'scope' must be a whole number, got '3'"),
        ("scope: 3", "scope: 4", "row 'lambda': scope must be odd"),
        ("scope: 3", "heads: 3", "row 'lambda': heads must divide"),
        ("scope: 3", "scop: 3", "did you mean 'scope'"),
        ("position: false", "position: 1", "'position' must be true or false, got 1"),
        ("scope: 3,", "scope: 3, scope: 5,", "line 12: 'scope' stands twice"),
        ("gpu:", "gpu: [", "is no YAML"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_its_row(tmp_path, old, new, named):
    assert SMALL.count(old) >= 1
    with pytest.raises(UserError) as caught:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert named in str(caught.value) and "queue.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "rows", "- a", "datasets: {}\nrecipes: {}\n", "\x00"])
def test_what_is_no_queue_is_refused(tmp_path, text):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert "queue.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_queue_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no queue .*--queue"):
        read_queue(tmp_path / "queue.yaml")


def test_every_row_of_the_readme_is_there_in_both_recipes_with_three_seeds(shipped):
    with open(ROOT / "data" / "reference" / "readme_cifar10.csv", encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    assert len(published) == 6 and {row.readme for row in shipped} == {None, 1, 2, 3, 4, 5, 6}
    for number, printed in enumerate(published, 1):
        rows = [row for row in shipped if row.readme == number]
        for recipe in ("original", "modern"):
            assert any(row.recipe == recipe and len(row.seeds) >= 3 for row in rows), (number, recipe)
        assert any(row.model == printed["model"] and row.recipe == "original" for row in rows), number
        wanted = {name: int(printed[name]) for name in ("dim_k", "heads", "dim_u", "scope") if printed[name]}
        for row in rows:
            shape = {"dim_k": 16, "heads": 4, "dim_u": 1, "scope": 23, **row.options}
            assert {name: shape[name] for name in wanted} == wanted, row.name


def test_both_senses_of_resnet18_are_there_with_the_counts_of_the_table(built):
    counts = {name: count_parameters(network) for name, network in built.items()}
    assert counts["resnet26_unshrunk-original"] == 13_962_826 and counts["resnet18-original"] == 11_173_962
    assert counts["lambda18_u4_m7-original"] == 8_665_162 and counts["lambda18_u4_m5-original"] == 8_652_874
    assert counts["lambda18_u1_m23-original"] == 8_092_618 and counts["lambda50_u4_m7-original"] == 14_002_506
    assert counts["failed_run-original"] == 14_998_056 and counts["resnet50-original"] == 23_520_842


def test_every_network_of_the_queue_can_be_built_as_counted(shipped, built):
    for row in shipped:
        network, size = built[row.name], row.source.size or 32
        assert model_cost(network.config, size).parameters == count_parameters(network), row.name


def test_the_ablations_each_change_one_thing(shipped):
    reference = next(row for row in shipped if row.name == "lambda26_u4_m7-modern")
    prefixes = ("lambda26_content", "lambda26_C", "lambda26_L", "lambda26_k", "lambda26_h", "lambda26_u4_m", "defect_")
    ablations = (row for row in shipped if row.name.startswith(prefixes) and row.model == reference.model)
    for row in (row for row in ablations if not row.name.endswith("-plain")):  # these change the whole start
        base = {"content": True, "position": True, "zero_gamma": True, "stages": "LLLL", "dim_k": 16, "heads": 4}
        one, other = ({**base, "num_classes": 10, **each.options} for each in (row, reference))
        changed = [name for name in one if one[name] != other[name]]
        changed += ["recipe"] * (row.settings != reference.settings)
        assert len(changed) <= 1, (row.name, changed)
    patterns = {row.options["stages"] for row in shipped if row.machine == "gpu" and "stages" in row.options}
    assert patterns == {"CCCL", "CCLL", "CLLL", "LCCC", "LLCC", "LLLC"}


def test_the_laptops_table_is_small_and_apart(shipped):
    rows = [row for row in shipped if row.machine == "laptop"]
    assert all(row.name.startswith("laptop_") == (row in rows) for row in shipped)
    halved = [row for row in rows if row.source.size == 16]
    whole = [row.name for row in rows if row not in halved]
    assert whole == [
        f"laptop_{name}" for name in ("conv_32", "lambda_32", "conv_true", "conv_q75", "lambda_true", "lambda_q75")
    ]
    assert rows[-len(whole) :] == [row for row in rows if row.name in whole], "not comparable with the others: last"
    labels = {row.source.label for row in halved}
    assert labels.isdisjoint(row.source.label for row in shipped if row.machine == "gpu")
    assert all(len(row.seeds) >= 3 for row in rows)


def test_the_pixels_rows_differ_in_the_pixels_alone(shipped):
    rows = {row.name: row for row in shipped}
    for network in ("laptop_conv", "laptop_lambda"):
        true, stored = rows[f"{network}_true"], rows[f"{network}_q75"]
        assert (true.source.jpeg, stored.source.jpeg) == (None, 75)
        bare = [
            replace(row, name="", answers="", source=replace(row.source, jpeg=0, label="")) for row in (true, stored)
        ]
        assert bare[0] == bare[1]


def test_jpeg_pictures_are_never_called_cifar10(shipped):
    """Those of the JPEG archive, and those that the kit puts through JPEG; true ones that are some only say so."""
    for source in {row.source for row in shipped}:
        lossy = source.folder == "cifar10-jpeg" or source.jpeg == 75
        assert ("JPEG q75" in source.label) == lossy and source.label != "CIFAR-10"
        assert source.lossless or source.jpeg or "true" in source.label


def test_the_original_recipe_has_the_logs_learning_rates(shipped):
    """As printed in the README's log after epochs 1, 9, 10 and 13; the restart follows epoch 10."""
    row = next(row for row in shipped if row.name == "lambda18_u4_m7-original")
    config = planned_runs([replace(row, seeds=(0,))])[0].config("cpu")
    rates = [learning_rate(config, epoch) for epoch in (0, 1, 9, 10, 13)]
    assert rates == [0.1, 0.09755307053217621, 0.0024569294678237993, 0.1, 0.09455087117679745]
    assert (config.batch_size, config.momentum, config.weight_decay, config.nesterov) == (128, 0.9, 1e-4, False)
