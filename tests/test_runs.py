"""A run's folder read back, and many runs as one table."""

import json
import shutil

import pytest

from lambdalab import Run, TrainConfig, evaluate, load_data, read_runs
from lambdalab.errors import UserError
from lambdalab.experiment import Experiment, parse_duration
from lambdalab.inputs import InputFormat


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        config = TrainConfig(epochs=1, seed=seed, device="cpu", lr=0.05)
        Experiment("resnet11_tiny", "digits", config).run(folder / f"seed{seed}", progress=False)
    return folder


def test_best_weights_come_back(runs):
    run = Run(runs / "seed0")
    data = Experiment("resnet11_tiny").load_data()
    assert evaluate(run.load_model("best"), data, data.val)["top1"] == run.summary["best_val_top1"]
    assert evaluate(run.load_model("last"), data, data.test)["top1"] == run.summary["test_top1"]
    assert not run.load_model().training


def test_config_rebuilds_the_experiment(runs):
    config = Run(runs / "seed1").config
    assert TrainConfig(**config["train"]).seed == 1
    assert config["model"]["name"] == "resnet11_tiny" and config["data"]["name"] == "digits"


def test_pictures_and_their_scale_come_back(runs, tmp_path):
    run, data = Run(runs / "seed0"), load_data("digits")
    assert run.load_data().train.images.equal(data.train.images)
    assert run.input_format(8) == InputFormat.like(data)
    shutil.copytree(runs / "seed0", tmp_path / "replay")
    replay = Run(tmp_path / "replay")
    scale = {"dataset": "folder", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}  # as lambdalab replay records it
    (replay.folder / "config.json").write_text(json.dumps({**run.config, "data": {**run.config["data"], **scale}}))
    assert replay.input_format(20) == InputFormat(3, (20, 20), (0.1, 0.2, 0.3), (1, 2, 3))
    with pytest.raises(UserError, match="does not say where these pictures are"):
        replay.load_data()


def test_table_leaves_out_what_has_not_finished(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs" / "seed0" / "summary.json").unlink()
    assert list(read_runs(tmp_path / "runs")["run"]) == ["seed1"]


@pytest.mark.parametrize("name", ["environment", "config", "summary"])
@pytest.mark.parametrize("text", ["{", "[]", "", "\0\N{BYTE ORDER MARK}"])
def test_a_table_of_runs_names_the_damaged_file(runs, tmp_path, name, text):
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs" / "seed0" / f"{name}.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"seed0/{name}\.json is damaged") as caught:
        read_runs(tmp_path / "runs")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "needed"), [("config", "data"), ("summary", "device"), ("summary", "test_top1")])
def test_a_file_that_lacks_what_tables_need_is_damaged(runs, tmp_path, name, needed):
    shutil.copytree(runs, tmp_path / "runs")
    path = tmp_path / "runs" / "seed1" / f"{name}.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != needed}))
    with pytest.raises(UserError, match=rf"seed1/{name}\.json is damaged \(it has no {needed}\)"):
        read_runs(tmp_path / "runs")


@pytest.mark.parametrize("content", [b"", b"epoch\n1\n", b"epoch,seconds\n1,2,3\n4,5,6,7\n", b"\xff\xfe,seconds"])
def test_damaged_epochs_are_named_in_one_line(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is damaged \(.+\); delete it") as caught:
        _ = Run(tmp_path).metrics
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda run: (run.folder / "config.json").write_text("{"), "config.json is damaged"),
        (lambda run: (run.folder / "config.json").write_text("[]"), "config.json is damaged"),
        (lambda run: run.best.unlink(), "no checkpoint"),
        (lambda run: run.best.write_bytes(b"x" * 99), "damaged"),
        (lambda run: (run.folder / "config.json").unlink(), "has no config.json"),
    ],
)
def test_damage_is_named_in_one_line(runs, tmp_path, damage, named):
    shutil.copytree(runs / "seed0", tmp_path / "run")
    damage(Run(tmp_path / "run"))
    with pytest.raises(UserError, match=named) as caught:
        Run(tmp_path / "run").load_model()
    assert "\n" not in str(caught.value)


def test_no_run_at_all(tmp_path):
    with pytest.raises(UserError, match=r"no metrics\.csv"):
        _ = Run(tmp_path).metrics
    with pytest.raises(UserError, match="best' or 'last'"):
        Run(tmp_path).load_model("newest")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("9m", 540), ("1h30m", 5400), ("0.5", 0.5), (None, None)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3s", "9 minutes", "m9"])
def test_no_durations(text):
    with pytest.raises(UserError, match="no duration"):
        parse_duration(text)
